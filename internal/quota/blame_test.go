package quota_test

import (
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// scene is an account with models m and n, and whom the last refusal was put down to.
type scene struct {
	*pupil
	blamed string
}

// use sends an attempt on a model.
func (s *scene) use(model string) *quota.Hold {
	s.Helper()
	s.lane = lane("a", model)
	return s.send()
}

// gets sends an attempt on a model and ends it.
func (s *scene) gets(model string, o hint.Outcome) {
	s.Helper()
	s.ends(s.use(model), o)
}

// ends says what an attempt came to, and notes who is blamed for it.
func (s *scene) ends(h *quota.Hold, o hint.Outcome) {
	before := s.Summary("p")
	s.end(h, o)
	after := s.Summary("p")
	switch {
	case after.Models > before.Models:
		s.blamed = "model"
	case after.Accounts > before.Accounts:
		s.blamed = "account"
	case o.Refused():
		s.blamed = "nobody"
	}
}

// after lets time pass.
func (s *scene) after(d time.Duration) { s.now = s.now.Add(d) }

// signed is a refusal whose headers say whose limit is spent.
func signed(reach hint.Reach, unit hint.Unit) hint.Outcome {
	o := refusal
	o.Signs = []hint.Sign{{Unit: unit, Reach: reach, Period: time.Minute, Remaining: hint.Tell(0), Blamed: true}}
	return o
}

func TestWhoseLimitARefusalSpeaksOf(t *testing.T) {
	t.Parallel()
	byModel := func(l limits) func(limit.Scope) quota.Terms {
		return func(s limit.Scope) quota.Terms {
			return quota.Terms{Rates: l.rates(s), Trust: quota.Hint, BurstShare: 0.5, PerModel: true}
		}
	}
	byAccount := func(l limits) func(limit.Scope) quota.Terms {
		return func(s limit.Scope) quota.Terms { return quota.Terms{Rates: l.rates(s), Trust: quota.Hint, Burst: 100} }
	}
	for _, test := range []struct {
		name  string
		terms func(limit.Scope) quota.Terms
		story func(s *scene)
		want  string
	}{
		{"the canary of the model", byModel(limits{"*": "40-M"}), func(s *scene) {
			s.retreat()
			s.gets("m", refusal)
		}, "model"},
		{"the canary of the model, although the account's window is full", byAccount(limits{"*": "40-M", "": "10-M"}), func(s *scene) {
			s.gets("m", signed(hint.ReachModel, hint.Requests))
			s.gets("m", signed(hint.ReachModel, hint.Requests))
			s.after(time.Minute)
			for range 9 {
				s.gets("n", served)
			}
			s.gets("m", refusal)
		}, "model"},
		{"the canary of the account, whichever model it is for", byModel(limits{"*": "40-M"}), func(s *scene) {
			s.gets("m", signed(hint.ReachAccount, hint.Requests))
			s.gets("m", signed(hint.ReachAccount, hint.Requests)) // nothing but canaries is let out from now on
			s.after(time.Minute)
			s.gets("n", refusal)
		}, "account"},
		{"the account, as the headers say", byModel(limits{"*": "40-M"}), func(s *scene) { s.gets("m", signed(hint.ReachAccount, hint.Requests)) }, "account"},
		{"the model, as the headers say", byModel(limits{"*": "40-M"}), func(s *scene) { s.gets("m", signed(hint.ReachModel, hint.Requests)) }, "model"},
		{"the model, as the headers say, although the account's window is full", byAccount(limits{"": "10-M"}), func(s *scene) {
			for range 9 {
				s.gets("n", served)
			}
			s.gets("m", signed(hint.ReachModel, hint.Requests))
		}, "model"},
		{"nobody where tokens are spent", byModel(limits{"*": "40-M"}), func(s *scene) { s.gets("m", signed(hint.ReachAccount, hint.Tokens)) }, "nobody"},
		{"the account where two models are refused within moments", byModel(limits{"*": "40-M"}), func(s *scene) {
			s.gets("m", refusal)
			s.after(5 * time.Second)
			s.gets("n", refusal)
		}, "account"},
		{"the model if those are not moments", byModel(limits{"*": "40-M"}), func(s *scene) {
			s.gets("m", refusal)
			s.after(11 * time.Second)
			s.gets("n", refusal)
		}, "model"},
		{"the model if something was accepted in between", byModel(limits{"*": "40-M"}), func(s *scene) {
			s.gets("m", refusal)
			s.after(2 * time.Second)
			s.gets("n", served)
			s.after(2 * time.Second)
			s.gets("n", refusal)
		}, "model"},
		{"the model if it was refused twice itself", byModel(limits{"*": "40-M"}), func(s *scene) {
			s.gets("m", refusal)
			s.gets("m", refusal)
		}, "model"},
		{"the model if its own window was full", byModel(limits{"m": "40-M", "n": "10-M"}), func(s *scene) {
			for range 9 {
				s.gets("n", served)
			}
			last := s.use("n")
			s.gets("m", refusal)
			s.after(time.Second)
			s.ends(last, refusal)
		}, "model"},
		{"the model where each is counted for itself", byModel(nil), func(s *scene) { s.gets("m", refusal) }, "model"},
		{"the account if only one model is used", byAccount(nil), func(s *scene) { s.gets("m", refusal) }, "account"},
		{"the account if another was used long ago", byAccount(nil), func(s *scene) {
			s.gets("n", served)
			s.gets("m", served)
			s.after(3 * time.Minute)
			s.gets("m", refusal)
		}, "account"},
		{"the model if another is used as well", byAccount(nil), func(s *scene) {
			s.gets("n", served)
			s.gets("m", refusal)
		}, "model"},
		{"the account if its window is full and the model's is not", byAccount(limits{"*": "40-M", "": "10-M"}), func(s *scene) {
			for range 9 {
				s.gets("n", served)
			}
			s.gets("m", refusal)
		}, "account"},
		{"the model if its window is full and the account's is not", byAccount(limits{"*": "10-M", "": "40-M"}), func(s *scene) {
			for range 9 {
				s.gets("m", served)
			}
			s.gets("m", refusal)
		}, "model"},
		{"a model that learns beside an account that does not", func(s limit.Scope) quota.Terms {
			if s.WholeAccount() {
				return quota.Terms{Rates: rates("100-M"), Burst: 100}
			}
			return quota.Terms{Rates: rates("40-M"), Trust: quota.Hint}
		}, func(s *scene) { s.gets("m", refusal) }, "model"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{pupil: newPupil(t, quota.New(quota.Options{Terms: test.terms}))}
			test.story(s)
			if s.blamed != test.want {
				t.Errorf("the last refusal is put down to the %s; want the %s", s.blamed, test.want)
			}
		})
	}
}

// Where the model's terms are fixed and the account's are not, a refusal pauses the model as if nothing were learned.
func TestARefusalOfAFixedModelPausesItBesideAnAccountThatLearns(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{Trust: quota.Hint}
		}
		return quota.Terms{Rates: rates("40-M"), Burst: 40}
	}})
	refuse(t, b, 0, lane("a", "m"), ask(7))
	wantReadiness(t, b, second(1), lane("a", "m"), quota.Readiness{At: second(7), Paused: true})
	reserve(t, b, second(1), lane("a", "n"))
}

// A refusal for tokens says nothing of how many requests may be sent. It stops them until there are tokens again.
func TestARefusalForTokensPausesAndLearnsNothing(t *testing.T) {
	t.Parallel()
	p := newPupil(t, learning(limits{"*": "40-M"}, quota.Hint))
	spent := signed(hint.ReachModel, hint.Tokens)
	spent.Signs[0].Reset = hint.Tell(9 * time.Second)
	for range 5 {
		h, from := p.send(), p.now
		p.end(h, spent)
		wantReadiness(t, p.Book, p.now, p.lane, quota.Readiness{At: from.Add(9 * time.Second), Paused: true})
	}
	if v := view(p.Book, p.now, p.lane); v.State != adapt.Normal || v.Windows[0].Rate.N != 40 {
		t.Errorf("%v with a ceiling of %v; want NORMAL with 40", v.State, v.Windows[0].Rate)
	}
}
