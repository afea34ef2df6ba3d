package top

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nimsidecar/internal/dash"
)

// Look is how a view is looked at. The zero value is plain English text as long and as wide as it needs to be.
type Look struct {
	Width, Height int       // of the terminal, in characters; 0 = no bound
	Language      Language  // of its words
	Colour        bool      // else no control sequence at all
	Live          bool      // single requests are listed too, and the key that ends it is named
	Where         string    // the sidecar's address
	Now           time.Time // in the zone that times are shown in
	Heard         time.Time // when the view came
	Trouble       string    // why none has come since; empty for no reason
}

// Patience is how old a view may be before it is marked as stale: five of the sidecar's events are missing then.
const Patience = 5 * time.Second

// Lines returns the view as lines for a terminal of that size: none is wider, there are not more, and the only control sequences in them are
// those of colours, if they are wanted. It is a function of its arguments alone.
func Lines(v *dash.View, l Look) []string {
	p := painter{v: v, look: l, words: l.Language.words()}
	all := append(p.head(), p.bars()...)
	sections := []table{p.limits(), p.providers()}
	if l.Live {
		sections = []table{p.waiting(), p.limits(), p.requests(), p.providers()}
	}
	all = append(all, p.spread(sections, len(all))...)
	if p.bounded() && len(all) > l.Height {
		all = all[:l.Height]
	}
	lines := make([]string, len(all))
	for i, one := range all {
		lines[i] = one.encode(l.Width, l.Colour)
	}
	return lines
}

// painter makes the lines of one view.
type painter struct {
	v     *dash.View
	look  Look
	words words
}

func (p *painter) bounded() bool { return p.look.Height > 0 }

// roomy reports whether there is room for what only makes the view clearer.
func (p *painter) roomy() bool { return !p.bounded() || p.look.Height >= 30 }

// spread gives the sections the lines that are left.
func (p *painter) spread(sections []table, used int) (all []line) {
	wants := make([]int, len(sections))
	for i := range sections {
		if wants[i] = sections[i].height(); p.roomy() {
			wants[i]++ // a blank line before it
		}
	}
	got := wants
	if p.bounded() {
		least := wants[0] - sections[0].height() + 2 // its title and a row
		got = share(p.look.Height-used, least, wants)
	}
	for i := range sections {
		if got[i] == 0 {
			continue
		}
		height := got[i]
		if p.roomy() {
			all = append(all, line{})
			height--
		}
		all = append(all, sections[i].lay(p.look.Width, height)...)
	}
	return all
}

// head says who it is, in which state, at which rate, and what is wrong.
func (p *painter) head() []line {
	v, w := p.v, p.words
	name := line{{"nim-sidecar " + v.Version, bold}, say("  " + fmt.Sprintf(w.up, brief(seconds(v.UptimeS))))}
	clock := p.look.Where + " " + p.look.Now.Format(time.TimeOnly)
	if room := p.look.Width - name.width() - columns(Clean(clock)); p.look.Width == 0 || room >= 2 {
		name = append(name, say(strings.Repeat(" ", max(room, 2))+clock))
	}
	all := []line{name, p.state()}
	all = append(all, p.rates()...)
	return append(all, p.notices()...)
}

func (p *painter) state() line {
	v := p.v
	l := line{{v.State, stateStyle(v.State)}}
	if v.StateSince != nil {
		l = append(l, say(" "+fmt.Sprintf(p.words.since, p.ago(*v.StateSince))))
	}
	if v.StateReason != "" {
		l = append(l, span{": " + v.StateReason, dim})
	}
	return l
}

// rates lists what is known of the rate, in two lines if one is too short and there are enough.
func (p *painter) rates() []line {
	v, w := p.v, p.words
	facts := []struct{ name, value, unit string }{
		{w.rate, figure(v.Rate.Effective, 1), w.each},
		{w.ceiling, figure(v.Rate.Ceiling, 1), ""},
		{w.configured, figure(v.Rate.Configured, 1), ""},
		{w.utilisation, percent(v.Utilisation), ""},
		{w.refused, percent(v.RefusedShare), ""},
		{w.sent, figure(&v.Rate.Sent, 1), ""},
		{w.slots, figure(&v.TokensAvailable, 0), ""},
	}
	all := []line{nil}
	for _, f := range facts {
		fact := line{{f.name + " ", dim}, {f.value, bold}, say(f.unit)}
		last := all[len(all)-1]
		switch {
		case len(last) == 0:
		case p.look.Width == 0 || last.width()+2+fact.width() <= p.look.Width:
			last = append(last, say("  "))
		case len(all) == 2 || !p.roomy():
			return all
		default:
			all, last = append(all, nil), nil
		}
		all[len(all)-1] = append(last, fact...)
	}
	return all
}

// notices are what must not be overlooked.
func (p *painter) notices() (all []line) {
	v, w := p.v, p.words
	if silent := p.look.Now.Sub(p.look.Heard); !p.look.Heard.IsZero() && silent > Patience {
		text := fmt.Sprintf(w.stale, brief(silent))
		if p.look.Trouble != "" {
			text += ": " + p.look.Trouble
		}
		all = append(all, line{{text, bad}})
	}
	say := func(is bool, text string, s style) {
		if is {
			all = append(all, line{{text, s}})
		}
	}
	say(v.Draining, w.draining, careful)
	say(!v.Healthy, w.unhealthy, bad)
	say(v.StoreDegraded, w.degraded, bad)
	say(v.SettingsError != nil, fmt.Sprintf(w.file, text(v.SettingsError)), careful)
	say(v.Demo, w.demo, careful)
	return all
}

// bars show how many of each class wait, beside the class that waits most, but at least fullBar.
func (p *painter) bars() (all []line) {
	const fullBar = 10
	w, q := p.words, p.v.Queue
	long, most := min(max(p.look.Width/3, 12), 40), fullBar
	for _, c := range q.Classes {
		most = max(most, c.Waiting)
	}
	title := line{{fmt.Sprintf(w.queue, q.Total, q.Capacity), bold}}
	if p.look.Live {
		title = append(title, span{"  " + w.quit, dim})
	}
	all = append(all, title)
	if p.roomy() {
		all = []line{{}, title}
	}
	for _, c := range q.Classes {
		filled := (c.Waiting*long + most - 1) / most // somebody who waits is seen
		l := line{
			say(fmt.Sprintf("%-7s", c.Class)),
			{strings.Repeat("#", filled), classStyle(c.Class)},
			{strings.Repeat(".", long-filled), dim},
			{fmt.Sprintf(" %4d ", c.Waiting), bold},
		}
		for _, f := range []struct {
			name string
			ms   *float64
		}{{w.oldest, float(c.OldestMS)}, {w.half, c.P50MS}, {w.most, c.P95MS}} {
			if f.ms != nil {
				l = append(l, span{" " + f.name + " ", dim}, say(brief(millis(*f.ms))))
			}
		}
		all = append(all, l)
	}
	return all
}

// ago returns how long before the view something was.
func (p *painter) ago(at int64) string { return brief(millis(float64(p.v.Now - at))) }

// until returns how long after the view something is.
func (p *painter) until(at int64) string { return brief(millis(float64(at - p.v.Now))) }

func stateStyle(state string) style {
	switch state {
	case "NORMAL":
		return good
	case "RECOVER":
		return careful
	}
	return bad
}

func classStyle(class string) style {
	switch class {
	case "URGENT":
		return fillUrgent
	case "HIGH":
		return fillHigh
	case "NORMAL":
		return fillNormal
	}
	return fillLow
}

// unknown stands for what is not known.
const unknown = "-"

// text returns a text that may be missing.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func float(ms *int64) *float64 {
	if ms == nil {
		return nil
	}
	f := float64(*ms)
	return &f
}

// figure returns a number with so many decimals at most.
func figure(f *float64, decimals int) string {
	if f == nil {
		return unknown
	}
	s := strconv.FormatFloat(*f, 'f', decimals, 64)
	if decimals > 0 {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func percent(share *float64) string {
	if share == nil {
		return unknown
	}
	of := *share * 100
	return figure(&of, 1) + " %"
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// brief writes a duration with two units at most: 0.4s, 12s, 3m05s, 2h10m, 5d03h.
func brief(d time.Duration) string {
	units := [...]struct {
		below, rounded time.Duration // durations below the one are rounded to the other
		text           func(d time.Duration) string
	}{
		{10 * time.Second, 100 * time.Millisecond, func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s" }},
		{time.Minute, time.Second, func(d time.Duration) string { return fmt.Sprintf("%.0fs", d.Seconds()) }},
		{time.Hour, time.Second, func(d time.Duration) string { return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second) }},
		{24 * time.Hour, time.Minute, func(d time.Duration) string { return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute) }},
	}
	for _, u := range units {
		if rounded := max(d, 0).Round(u.rounded); rounded < u.below {
			return u.text(rounded)
		}
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
