package scenarios

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Graph is a picture of one run.
type Graph struct {
	Scenario string        // its name
	Title    string        // for a reader
	File     string        // name of the picture
	From, To time.Duration // what of the run is shown
	SVG      string        // empty until it is drawn
}

// Graphs returns what the report shows.
func Graphs() []Graph {
	return []Graph{
		{Scenario: "step-sliding-40-15", Title: "The limit falls from 40 to 15 a minute, and ten refusals in a row would be a ban of an hour", File: "step-down.svg", From: 30 * time.Minute, To: 60 * time.Minute},
		{Scenario: "step-first-hit-20-40", Title: "The limit rises from 20 to 40 a minute", File: "step-up.svg", From: 30 * time.Minute, To: 80 * time.Minute},
		{Scenario: "wrong-first-hit-120", Title: "Told 40 a minute, where 120 are allowed", File: "wrong-hint.svg", To: 20 * time.Minute},
		{Scenario: "hour-40-M,1000-H-pods4", Title: "40 a minute and 1,000 an hour, checked asynchronously by four pods", File: "hour.svg", To: 5 * time.Hour},
		{Scenario: "swing-25-45", Title: "A limit that swings between 25 and 45 a minute", File: "swing.svg", From: 30 * time.Minute, To: 4*time.Hour + 30*time.Minute},
	}
}

// Draw plays the run that a graph shows and draws it.
func (g *Graph) Draw(t *testing.T, seed uint64) {
	all := All()
	for i := range all {
		if s := &all[i]; s.Name == g.Scenario {
			synctest.Test(t, func(*testing.T) { g.SVG = play(s, Ours(), seed).draw(g) })
		}
	}
}

// Write writes the picture into a directory.
func (g *Graph) Write(dir string) error {
	return os.WriteFile(filepath.Join(dir, g.File), []byte(g.SVG), 0o644)
}

// The picture's measures. Its colours can be read on white and on black, since a page may be shown in either.
const (
	width, height            = 860, 300
	left, right, top, bottom = 46, 14, 52, 34
	grey                     = "#7d8590"
	colourLimit              = "#db6d28"
	colourCeiling            = "#2f81f7"
	colourAccepted           = "#2da44e"
	colourRefused            = "#e5534b"
)

// canvas places times and rates.
type canvas struct {
	strings.Builder
	from, to time.Time
	most     float64
}

func (c *canvas) x(at time.Time) float64 {
	share := at.Sub(c.from).Seconds() / c.to.Sub(c.from).Seconds()
	return left + min(1, max(0, share))*(width-left-right)
}

func (c *canvas) y(n float64) float64 {
	return height - bottom - min(1, n/c.most)*(height-top-bottom)
}

// point is a value from a time on.
type point struct {
	at time.Time
	n  float64
}

// steps draws values that hold until the next one.
func (c *canvas) steps(points []point, colour string, wide float64) {
	var path strings.Builder
	for i, p := range points {
		if p.at.After(c.to) {
			break
		}
		hidden := i+1 < len(points) && !points[i+1].at.After(c.from)
		switch {
		case hidden:
		case path.Len() == 0:
			fmt.Fprintf(&path, "M%.1f %.1f", c.x(p.at), c.y(p.n))
		default:
			fmt.Fprintf(&path, "H%.1fV%.1f", c.x(p.at), c.y(p.n))
		}
	}
	fmt.Fprintf(&path, "H%.1f", c.x(c.to))
	fmt.Fprintf(c, `<path d="%s" fill="none" stroke="%s" stroke-width="%.1f" stroke-linejoin="round"/>`+"\n", path.String(), colour, wide)
}

// draw draws the limit, our ceiling, what was accepted in the last minute, and each refusal.
func (w *world) draw(g *Graph) string {
	c := &canvas{from: w.start.Add(g.From), to: w.start.Add(g.To)}
	limits, ceilings, passed := w.limits(), w.minuteCeilings(), w.passed(c.from, c.to)
	for _, points := range [][]point{limits, ceilings, passed} {
		for _, p := range points {
			if p.at.After(c.from) && !p.at.After(c.to) {
				c.most = max(c.most, p.n)
			}
		}
	}
	c.most = math.Ceil(1.05*c.most/20) * 20
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="12" fill="%s">`+"\n", width, height, grey)
	fmt.Fprintf(c, "<title>%s</title>\n", g.Title)
	c.frame(g)
	c.steps(limits, colourLimit, 2)
	c.steps(ceilings, colourCeiling, 1.5)
	c.steps(passed, colourAccepted, 1.2)
	for _, r := range parse(w.Upstream.Rates) {
		if r.Period > window {
			fmt.Fprintf(c, `<path d="M%d %.1fH%d" stroke="%s" stroke-dasharray="5 4"/><text x="%d" y="%.1f" text-anchor="end">%s, spread</text>`+"\n",
				left, c.y(r.PerMinute()), width-right, colourLimit, width-right, c.y(r.PerMinute())-4, r)
		}
	}
	for _, h := range w.up.hits {
		if h.verdict == refused && !h.at.Before(c.from) && h.at.Before(c.to) {
			fmt.Fprintf(c, `<path d="M%.1f %dv10" stroke="%s" stroke-width="1.2"/>`+"\n", c.x(h.at), height-bottom-10, colourRefused)
		}
	}
	c.WriteString("</svg>\n")
	return c.String()
}

// frame draws axes and legend.
func (c *canvas) frame(g *Graph) {
	fmt.Fprintf(c, `<text x="%d" y="16" font-size="13" font-weight="600">%s</text>`+"\n", left, g.Title)
	at := left
	for _, l := range []struct {
		name, colour string
		room         int
	}{
		{"the hidden limit", colourLimit, 130},
		{"what the sidecar takes it for", colourCeiling, 205},
		{"accepted in the last minute", colourAccepted, 210},
		{"a refusal", colourRefused, 0},
	} {
		fmt.Fprintf(c, `<path d="M%d 32h16" stroke="%s" stroke-width="3"/><text x="%d" y="36">%s</text>`+"\n", at, l.colour, at+22, l.name)
		at += l.room
	}
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		y := c.y(c.most * share)
		fmt.Fprintf(c, `<path d="M%d %.1fH%d" stroke="%s" stroke-opacity="0.25"/><text x="%d" y="%.1f" text-anchor="end">%.3g</text>`+"\n", left, y, width-right, grey, left-6, y+4, c.most*share)
	}
	span := c.to.Sub(c.from)
	every := 5 * time.Minute
	for span/every > 12 {
		every *= 2
	}
	for d := time.Duration(0); d <= span; d += every {
		fmt.Fprintf(c, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", c.x(c.from.Add(d)), height-bottom+16, (g.From + d).Minutes())
	}
	fmt.Fprintf(c, `<text x="%d" y="%d" text-anchor="end">minutes</text>`+"\n", width-right, height-4)
}

// limits returns the nominal limit of a minute over time.
func (w *world) limits() []point {
	points := []point{{w.start, perMinute(w.Upstream.Rates)}}
	for _, c := range w.up.player.changes {
		points = append(points, point{c.at, perMinute(c.rates)})
	}
	return points
}

// perMinute returns how many of a minute rates allow.
func perMinute(rates string) float64 {
	for _, r := range parse(rates) {
		if r.Period == window {
			return float64(r.N)
		}
	}
	return 0
}

// minuteCeilings returns what our book took a minute for, of the model or the account, whichever is narrower.
func (w *world) minuteCeilings() (points []point) {
	for k, changes := range w.sides[0].ceilings.of {
		if k.period != window {
			continue
		}
		var of []point
		for _, c := range changes {
			if c.n != unbounded {
				of = append(of, point{c.at, float64(c.n)})
			}
		}
		if len(of) > len(points) {
			points = of
		}
	}
	return points
}

// passed returns how many were accepted in the minute before, every ten seconds.
func (w *world) passed(from, to time.Time) (points []point) {
	var at []time.Time
	for _, h := range w.up.hits {
		if h.ok() {
			at = append(at, h.at)
		}
	}
	for t := from; !t.After(to); t = t.Add(10 * time.Second) {
		points = append(points, point{t, float64(count(at, t.Add(-window), t))})
	}
	return points
}
