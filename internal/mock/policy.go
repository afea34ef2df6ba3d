package mock

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// noLimit is the text of no limits at all.
const noLimit = "none"

// policy says which limits hold for whom.
type policy struct {
	counting         limiter.Options // kind and burst
	base             []limiter.Rate
	models, accounts map[string][]limiter.Rate
}

// newPolicy reads every limit of o.
func newPolicy(o Options) (policy, error) {
	p := policy{
		counting: limiter.Options{Kind: limiter.Kind(o.Limiter), Burst: o.Burst},
		models:   map[string][]limiter.Rate{},
		accounts: map[string][]limiter.Rate{},
	}
	if err := p.counting.Check(); err != nil {
		return policy{}, fmt.Errorf("mock: option Limiter: %w", err)
	}
	changes := map[string][]LimitChange{"Limits": {{Limits: o.Limits}}}
	for model, limits := range o.ModelLimits {
		changes["ModelLimits"] = append(changes["ModelLimits"], LimitChange{Limits: limits, Model: model})
	}
	for account, limits := range o.AccountLimits {
		changes["AccountLimits"] = append(changes["AccountLimits"], LimitChange{Limits: limits, Account: account})
	}
	for option, list := range changes {
		for _, c := range list {
			ch, err := p.read(c)
			if err != nil {
				return policy{}, fmt.Errorf("mock: option %s: %w", strings.TrimSpace(option+" "+c.Model+c.Account), err)
			}
			p.apply(ch)
		}
	}
	return p, nil
}

// parse reads a list of limits that the policy's kind of limiter can hold.
func (p policy) parse(limits string) ([]limiter.Rate, error) {
	if limits == noLimit {
		return nil, nil
	}
	rates, err := limiter.ParseRates(limits)
	if err != nil {
		return nil, err
	}
	if p.counting.Kind == limiter.None {
		return nil, nil
	}
	counting := p.counting
	counting.Rates = rates
	return rates, counting.Check()
}

// rates returns the limits of an account on a model: the account's own ones, else the model's, else those of everybody.
func (p policy) rates(account, model string) []limiter.Rate {
	if rates, ok := p.accounts[account]; ok {
		return rates
	}
	if rates, ok := p.models[model]; ok {
		return rates
	}
	return p.base
}

// clone returns a policy that can be changed without changing p.
func (p policy) clone() policy {
	p.models, p.accounts = maps.Clone(p.models), maps.Clone(p.accounts)
	return p
}

// newLimiter returns an empty limiter that has no limits yet.
func (p policy) newLimiter() limiter.Limiter {
	l, err := limiter.New(p.counting)
	if err != nil {
		panic("mock: a kind of limiter that was not checked: " + err.Error())
	}
	return l
}

// A LimitChange is a change of limits while the mock runs.
type LimitChange struct {
	// Limits are the new limits, written as in Options.
	Limits string `json:"limits"`
	// Model is whose limits change; empty is all models without limits of their own.
	Model string `json:"model"`
	// Account is whose limits change; empty is all accounts without limits of their own. Only one of Model and Account may
	// be given.
	Account string `json:"account"`
	// After is when, on the limiter's clock: NVIDIA's caches take up to a minute. A list of changes with growing delays is a
	// limit that moves on a schedule. In JSON it is a text such as "30s".
	After time.Duration `json:"-"`
}

// change is a LimitChange that has been read.
type change struct {
	LimitChange
	rates []limiter.Rate
	due   time.Time
}

// read checks a change and reads its limits.
func (p policy) read(c LimitChange) (change, error) {
	if c.Model != "" && c.Account != "" {
		return change{}, errors.New("limits of a model and an account at once: give one of them")
	}
	if c.After < 0 {
		return change{}, fmt.Errorf("after %v: want no negative time", c.After)
	}
	rates, err := p.parse(c.Limits)
	if err != nil {
		return change{}, fmt.Errorf("limits %q: %w", c.Limits, err)
	}
	return change{LimitChange: c, rates: rates}, nil
}

// apply makes a change that is due.
func (p *policy) apply(c change) {
	switch {
	case c.Model != "":
		p.models[c.Model] = c.rates
	case c.Account != "":
		p.accounts[c.Account] = c.rates
	default:
		p.base = c.rates
	}
}
