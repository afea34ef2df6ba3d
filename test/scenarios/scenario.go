package scenarios

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/mock/limiter"
	"nimsidecar/internal/quota"
)

// Scenario is one hidden limit, what is asked of it, and what is demanded of the law that meets it.
type Scenario struct {
	Name     string   // unique; words joined by dashes
	Group    string   // heads its part of the report
	Upstream Upstream // whose limit is hidden
	Told     Told     // what the law is told
	Load     Load     // what is asked of it
	Net      Net      // what lies between

	Length    time.Duration // of a run
	Warm      time.Duration // what is dropped of it at the beginning
	WaitsFrom time.Duration // before this the waits are dropped too; zero is Warm
	Sidecars  int           // how many share the account without knowing of each other; zero is one

	Targets []Target // what a law must keep to
}

// Upstream is the limit and everything else that the upstream does to its clients.
type Upstream struct {
	Kind     limiter.Kind // how it counts
	Burst    int          // of a bucket
	Rates    string       // of the counter that all models share; empty is none
	Models   []Model      // none is one model without a counter of its own
	Versions int          // counters of each kind, one of which is drawn for each request; zero is one

	Changes []Change // by time
	Swing   Swing    // of the shared counter

	Pods    int     // through which the asynchronous check leaks; zero is a synchronous check
	Ban     Ban     // for refusals in a row
	Outage  Outage  // at a random part of a minute later
	Errors  float64 // share of answers that are 5xx although the limit would let them pass
	Foreign float64 // requests a minute that another user of the account sends

	InFlight int // how many may run at once; zero is no cap
}

// Model is a model with a counter of its own.
type Model struct {
	Name  string // as requests call it
	Rates string // empty is no limit of its own
}

// Change sets the rates of the shared counter at a time, plus a random part of a minute.
type Change struct {
	At    time.Duration // since the start
	Rates string        // from then on
}

// Swing lets the rate of the shared counter go up and down like a sine, in whole numbers a minute. The zero value does not.
type Swing struct {
	Low, High int           // where it turns
	Period    time.Duration // from low to low
}

// Ban refuses everything for a while after so many refusals in a row. The zero value never does.
type Ban struct {
	After int           // refusals
	For   time.Duration // whatever is sent meanwhile
}

// Outage refuses everything, without counting it.
type Outage struct {
	At  time.Duration // since the start, plus a random part of a minute
	For time.Duration // zero is never
}

// Told is what the operator says.
type Told struct {
	Model, Account quota.Terms // of each model, and of all of them together
}

// Net is the time that messages and answers take: a least time, and the mean of what comes on top at random.
type Net struct {
	Delay, Jitter  time.Duration // one way
	Answer, Spread time.Duration // from the decision of the upstream until we know of a success
}

// Load is what the clients want.
type Load struct {
	Urgent, High float64       // Poisson arrivals a minute
	Agents       int           // of NORMAL and of LOW, each
	Normal, Low  int           // requests that each agent keeps waiting, for each model
	Greedy       int           // how many more the first NORMAL agent keeps waiting
	Burst        int           // NORMAL requests that come at once
	Every        time.Duration // from one burst to the next
}

// usualNet and usualLoad are those of most scenarios.
func usualNet() Net {
	return Net{Delay: 40 * time.Millisecond, Jitter: 30 * time.Millisecond, Answer: 200 * time.Millisecond, Spread: 500 * time.Millisecond}
}

func usualLoad() Load { return Load{Urgent: 4, High: 8, Agents: 3, Normal: 2, Low: 2} }

// generic returns what an operator says who believes in rates for each model of an upstream whose kind nobody knows.
func generic(rates string) Told {
	return Told{
		Model:   quota.Terms{Rates: parse(rates), Trust: quota.Hint},
		Account: quota.Terms{Trust: quota.Hint},
	}
}

// nvidiaHint is the same for NVIDIA, of which more is known.
func nvidiaHint(rates string) Told {
	t := generic(rates)
	t.Model.PerModel, t.Account.PerModel = true, true
	t.Model.BurstShare, t.Account.BurstShare = 0.5, 0.5
	return t
}

// promise is what an operator says who wants rates never to be exceeded.
func promise(rates string) Told {
	return Told{
		Model:   quota.Terms{Rates: parse(rates), Trust: quota.Promise},
		Account: quota.Terms{Trust: quota.Promise},
	}
}

// pinned is what an operator says who wants nothing to be learned.
func pinned(rates string) Told { return Told{Model: quota.Terms{Rates: parse(rates)}} }

// accountHint is said of the account, and nothing of its models.
func accountHint(rates string) Told {
	return Told{
		Model:   quota.Terms{Trust: quota.Hint},
		Account: quota.Terms{Rates: parse(rates), Trust: quota.Hint},
	}
}

func parse(rates string) limit.Rates {
	if rates == "" {
		return nil
	}
	r, err := limit.Parse(rates)
	if err != nil {
		panic("scenarios: " + err.Error())
	}
	return r
}

// models returns the names of the models that are used.
func (u *Upstream) models() []string {
	if len(u.Models) == 0 {
		return []string{"m"}
	}
	names := make([]string, len(u.Models))
	for i, m := range u.Models {
		names[i] = m.Name
	}
	return names
}

// rises reports whether the event is a higher limit.
func (s *Scenario) rises() bool {
	c := s.Upstream.Changes
	return len(c) == 1 && parse(c[0].Rates).PerMinute() > parse(s.Upstream.Rates).PerMinute()
}

// waitsFrom returns from when on waits are measured.
func (s *Scenario) waitsFrom() time.Duration { return max(s.Warm, s.WaitsFrom) }
