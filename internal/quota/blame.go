package quota

import (
	"time"

	"nimsidecar/internal/hint"
)

// together is how soon after the refusal of one model that of another says that they share a limit.
const together = 10 * time.Second

// How much emptier than full a window must have been so that its refusal is a puzzle, and how much fuller than another to be blamed
// before it.
const (
	clearly  = 0.15
	slightly = 0.03
)

// blame returns the ledger whose limit a refusal speaks of: the one that was testing its ceiling with this very attempt; else the account's
// if it took nothing between the refusals of two models; else the model's, where the upstream counts by model; else the one that was
// clearly fuller; else the narrower one.
func (h *Hold) blame(now time.Time) *ledger {
	model, account := h.ledgers.model(), h.ledgers.account()
	switch {
	case account.law == nil || model.law == nil:
		return model
	case model.law.Tests(h.tags[0]):
		return model
	case account.law.Tests(h.tags[1]):
		return account
	case h.puzzling() && account.shared(now, model):
		return account
	case model.terms.PerModel:
		return model
	case !model.law.Known() && !account.law.Known():
		if account.onlyModel(now, model) {
			return account
		}
		return model
	case account.law.Known() && h.fuller():
		return account
	}
	return model
}

// fuller reports whether the account's window explains a refusal better than the model's.
func (h *Hold) fuller() bool {
	model, account := h.ledgers.model().law, h.ledgers.account().law
	m, a := model.Fullness(h.tags[0]), account.Fullness(h.tags[1])
	if a >= 1 && !(model.Known() && m >= 1) {
		return true // it was beyond what is confirmed
	}
	return a > m+slightly
}

// puzzling reports whether the model's own window was far from full.
func (h *Hold) puzzling() bool {
	model := h.ledgers.model().law
	return !model.Known() || model.Fullness(h.tags[0]) < 1-clearly
}

// shared reports whether another model of the account was refused a moment ago, and nothing has been accepted since.
func (account *ledger) shared(now time.Time, model *ledger) bool {
	return account.refusedModel != "" && account.refusedModel != model.scope.Model &&
		now.Sub(account.lastRefusal) < together && account.lastAccepted.Before(account.lastRefusal)
}

// onlyModel reports whether no other model of the account was used in the last minutes.
func (account *ledger) onlyModel(now time.Time, model *ledger) bool {
	return account.otherModelAt.IsZero() || account.lastModel == model.scope.Model && now.Sub(account.otherModelAt) > 2*time.Minute
}

// use notes which model of the account is used.
func (account *ledger) use(now time.Time, model string) {
	if account.lastModel != model {
		if account.lastModel != "" {
			account.otherModelAt = now
		}
		account.lastModel = model
	}
}

// tokenRest is the least pause after a refusal for tokens that does not say how long.
const tokenRest = time.Second

// refused takes note that the upstream refused the attempt of a hold.
func (h *Hold) refused(now time.Time, o hint.Outcome) {
	p := h.ledgers
	model, account := p.model(), p.account()
	sign, explained := o.Exhausted()
	switch {
	case model.law == nil && account.law == nil:
		p.brakeFor(now, h.epoch, o)
	case explained && sign.Unit.OfTokens(): // requests are not too many, they are too large
		h.void(now)
		for _, l := range p {
			if l.law != nil {
				l.law.Pause(now, now.Add(max(o.RetryAfter, sign.Reset.Or(0), tokenRest)))
				break
			}
		}
	default:
		blamed := h.blame(now)
		switch {
		case explained && sign.Reach == hint.ReachAccount && account.law != nil:
			blamed = account
		case explained && sign.Reach == hint.ReachModel && model.law != nil:
			blamed = model
		}
		blamed.blamed++
		if blamed.law == nil {
			p.brakeFor(now, h.epoch, o)
		}
		for i, l := range p {
			switch {
			case l.law == nil:
			case l == blamed:
				l.law.Refused(now, h.tags[i], o.RetryAfter)
			default:
				l.law.RefusedElsewhere(now, h.tags[i])
			}
		}
	}
	for _, l := range p {
		l.refusals++
		l.lastRefusal = now
	}
	account.refusedModel = ""
	if model.law != nil && h.puzzling() {
		account.refusedModel = model.scope.Model
	}
}

// accepted takes note that the upstream did what the attempt of a hold asked.
func (h *Hold) accepted(now time.Time) {
	for i, l := range h.ledgers {
		l.lastAccepted = now
		if l.law != nil {
			l.law.Accepted(now, h.tags[i])
		}
	}
	if b := &h.ledgers.model().brake; h.epoch == b.epoch { // it left after the last refusal
		b.row = 0
	}
}

// void takes note that the attempt of a hold says nothing of the limits.
func (h *Hold) void(now time.Time) {
	for i, l := range h.ledgers {
		if l.law != nil && l.law == h.laws[i] {
			l.law.Void(now, h.tags[i])
		}
	}
}
