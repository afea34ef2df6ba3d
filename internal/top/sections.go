package top

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nimsidecar/internal/dash"
)

// waiting lists who waits, the next first.
func (p *painter) waiting() table {
	w := p.words
	t := table{
		columns: []column{
			{head: w.waiting},
			{head: w.place, right: true, rank: 3},
			{head: w.agent, least: name},
			{head: w.model, least: 20, rank: 2},
			{head: w.waited, right: true},
			{head: w.eta, right: true, rank: 1},
			{head: w.provider, least: name, rank: 5},
			{head: "", rank: 4},
		},
		more: p.v.WaitingMore, empty: w.nobody,
	}
	for i := range p.v.Waiting {
		x := &p.v.Waiting[i]
		eta, repeat := unknown, ""
		if x.ETAMS != nil {
			eta = brief(millis(float64(*x.ETAMS)))
		}
		if x.Repeat {
			repeat = w.repeat
		}
		t.rows = append(t.rows, cells(x.Class, strconv.Itoa(x.Place), x.Agent, text(x.Model), brief(millis(float64(x.WaitedMS))), eta, x.Provider, repeat))
	}
	return t
}

// limits lists what is known of each scope.
func (p *painter) limits() table {
	w, scope := p.words, p.scopes()
	t := table{
		columns: []column{
			{head: w.limits, least: 24},
			{head: w.state},
			{head: w.used, right: true},
			{head: w.known, rank: 2},
			{head: w.resets, right: true, rank: 3},
			{head: w.burst, right: true, rank: 6},
			{head: w.running, right: true, rank: 5},
			{head: w.lastRefusal, right: true, rank: 4},
			{head: w.charges, right: true, rank: 7},
		},
		empty: w.noLimits,
	}
	for i := range p.v.Limits {
		x := &p.v.Limits[i]
		used, resets := p.windows(x)
		last, burst := w.never, unknown
		if x.LastRefusal != nil {
			last = p.ago(*x.LastRefusal)
		}
		if x.Burst != nil {
			burst = strconv.Itoa(*x.Burst)
		}
		row := cells(scope(x), x.State, used, x.Confidence, resets, burst, inFlight(x), last, strconv.FormatUint(x.Charged, 10))
		row[1].style = stateStyle(x.State)
		if x.PausedUntil != nil {
			row[1] = span{w.paused + " " + p.until(*x.PausedUntil), bad}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// scopes returns what scopes are called: by provider and account only where there are several.
func (p *painter) scopes() func(*dash.Limit) string {
	providers, accounts := map[string]bool{}, map[string]bool{}
	for i := range p.v.Limits {
		x := &p.v.Limits[i]
		providers[x.Provider], accounts[x.Provider+"/"+x.Account] = true, true
	}
	return func(x *dash.Limit) string {
		name := p.words.account
		if x.Model != nil {
			name = *x.Model
		}
		if len(accounts) > 1 {
			name = x.Account + "/" + name
		}
		if len(providers) > 1 {
			name = x.Provider + "/" + name
		}
		return name
	}
}

// windows says how full the windows of a limit are, and when the first of them is empty.
func (p *painter) windows(x *dash.Limit) (used, resets string) {
	var all []string
	for i, one := range x.Windows {
		all = append(all, fmt.Sprintf("%d/%d-%s", one.Used, one.Limit, one.Period))
		if i == 0 && one.Resets != nil {
			resets = p.until(*one.Resets)
		}
	}
	if len(all) == 0 {
		return unknown, unknown
	}
	return strings.Join(all, " "), resets
}

// inFlight says how many attempts run, of how many that may.
func inFlight(x *dash.Limit) string {
	switch {
	case x.InFlight == nil:
		return unknown
	case x.InFlightMax == nil:
		return strconv.Itoa(*x.InFlight)
	}
	return fmt.Sprintf("%d/%d", *x.InFlight, *x.InFlightMax)
}

// requests lists those that have ended, the newest first.
func (p *painter) requests() table {
	w := p.words
	t := table{
		columns: []column{
			{head: w.requests},
			{head: w.class, rank: 2},
			{head: w.status, right: true},
			{head: w.agent, least: name, rank: 1},
			{head: w.model, least: 20, rank: 3},
			{head: w.queued, right: true, rank: 4},
			{head: w.first, right: true, rank: 5},
			{head: w.total, right: true},
			{head: w.tries, right: true, rank: 6},
			{head: w.reason, rank: 7},
		},
		empty: w.none,
	}
	for i := range p.v.Requests {
		x := &p.v.Requests[i]
		first := unknown
		if x.FirstByteMS != nil {
			first = brief(millis(float64(*x.FirstByteMS)))
		}
		began := time.UnixMilli(x.Started).In(p.look.Now.Location()).Format(time.TimeOnly)
		row := cells(began, x.Class, strconv.Itoa(x.Status), x.Agent, text(x.Model), brief(millis(float64(x.QueuedMS))), first,
			brief(millis(float64(x.TotalMS))), strconv.Itoa(len(x.Attempts)), text(x.Reason))
		if x.Status >= 400 {
			row[2].style = bad
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// providers lists the upstream APIs and their keys.
func (p *painter) providers() table {
	w := p.words
	t := table{columns: []column{{head: w.providers, least: name}, {head: w.state}, {head: w.keys, least: name}}}
	for i := range p.v.Providers {
		x := &p.v.Providers[i]
		state := span{w.reachable, good}
		switch {
		case x.Paused:
			state = span{w.held, careful}
		case !x.Healthy:
			state = span{w.away, bad}
		}
		name := x.Name + " " + x.URLHost
		if x.Default {
			name += " (" + w.fallback + ")"
		}
		row := cells(name, "", p.keys(x.Accounts))
		row[1] = state
		t.rows = append(t.rows, row)
	}
	return t
}

// keys lists the keys of accounts.
func (p *painter) keys(accounts []dash.Account) string {
	var all []string
	for _, a := range accounts {
		for _, k := range a.Keys {
			alias := a.Name + "/" + k.Alias
			if !k.Healthy {
				alias = fmt.Sprintf(p.words.benched, alias)
				if k.Reason != nil {
					alias += " (" + *k.Reason + ")"
				}
			}
			all = append(all, alias)
		}
	}
	if len(all) == 0 {
		return p.words.clientKeys
	}
	return strings.Join(all, ", ")
}

// cells returns a row of texts.
func cells(texts ...string) line {
	row := make(line, len(texts))
	for i, t := range texts {
		row[i] = say(t)
	}
	return row
}
