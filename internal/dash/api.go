package dash

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"nimsidecar/internal/history"
)

// description is that of this API. A test compares it with real answers.
//
//go:embed openapi.yaml
var description string

func (d *Dash) openAPI(w http.ResponseWriter, r *http.Request) {
	send(w, r, http.StatusOK, "application/yaml", []byte(description))
}

// snapshot answers with the newest frame.
func (d *Dash) snapshot(w http.ResponseWriter, r *http.Request) {
	frame, err := d.Feed.latest(r.Context())
	if err != nil {
		d.fail(w, r, err)
		return
	}
	send(w, r, http.StatusOK, "application/json", frame.data)
}

// queue lists everybody who waits.
func (d *Dash) queue(w http.ResponseWriter, r *http.Request) {
	if d.Queue == nil {
		d.fail(w, r, notFound("this sidecar shows no queue"))
		return
	}
	waiting := d.Queue.Waiting()
	if waiting == nil {
		waiting = []Waiter{}
	}
	reply(w, r, http.StatusOK, Waiting{waiting})
}

// endWait takes one out of the queue.
func (d *Dash) endWait(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, Prefix+"api/queue/")
	if d.Queue == nil || !d.Queue.End(id) {
		e := notFound(fmt.Sprintf("no request with the id %q waits: it may have been granted or ended meanwhile", clip(id)))
		e.Param = "id"
		d.fail(w, r, e)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// maxPatch bounds a change of settings: all of them together are some kilobytes.
const maxPatch = 64 << 10

// settings shows the settings, and changes them.
func (d *Dash) settings(w http.ResponseWriter, r *http.Request) {
	if d.Settings == nil {
		d.fail(w, r, notFound("this sidecar's settings cannot be seen"))
		return
	}
	if r.Method != http.MethodPatch {
		reply(w, r, http.StatusOK, d.Settings.Current())
		return
	}
	patch, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPatch))
	if err != nil {
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			err = fmt.Errorf("it has more than %d bytes", maxPatch)
		}
		d.fail(w, r, &Error{Status: http.StatusBadRequest, Code: BadRequest, Message: "the body cannot be read: " + err.Error()})
		return
	}
	after, err := d.Settings.Patch(r.Context(), r.RemoteAddr, patch)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	reply(w, r, http.StatusOK, after)
}

// past is the answer of GET history.
type past struct {
	StepS  float64 `json:"step_s"`
	From   int64   `json:"from"`
	Series columns `json:"series"`
}

type columns struct {
	T           []int64             `json:"t"`
	Granted     []number            `json:"granted"`
	Refused     []number            `json:"refused"`
	Rate        []number            `json:"rate"`
	Ceiling     []number            `json:"ceiling"`
	Utilisation []number            `json:"utilisation"`
	WaitP50     map[string][]number `json:"wait_p50"`
	WaitP95     map[string][]number `json:"wait_p95"`
	Depth       map[string][]number `json:"depth"`
}

// classes are the words for the classes of history, the most urgent first.
var classes = [history.Classes]string{"URGENT", "HIGH", "NORMAL", "LOW"}

// history answers with the series of a span.
func (d *Dash) history(w http.ResponseWriter, r *http.Request) {
	if d.History == nil {
		d.fail(w, r, notFound("this sidecar keeps no history"))
		return
	}
	name := r.URL.Query().Get("range")
	if name == "" {
		name = history.Spans()[0].Name
	}
	s, ok := d.History.Series(name)
	if !ok {
		var names []string
		for _, span := range history.Spans() {
			names = append(names, span.Name)
		}
		d.fail(w, r, &Error{
			Status: http.StatusBadRequest, Param: "range", Code: BadRequest,
			Message: fmt.Sprintf("range is %q: want one of %s", clip(name), strings.Join(names, ", ")),
		})
		return
	}
	reply(w, r, http.StatusOK, pastOf(s))
}

// pastOf is a series as JSON.
func pastOf(s history.Series) past {
	p := past{StepS: s.Step.Seconds()}
	c := &p.Series
	c.T = []int64{}
	for _, t := range s.Time {
		c.T = append(c.T, t.UnixMilli())
	}
	if len(c.T) > 0 {
		p.From = c.T[0]
	}
	c.Granted, c.Refused = numbers(s.Granted), numbers(s.Refused)
	c.Rate, c.Ceiling, c.Utilisation = numbers(s.Rate), numbers(s.Ceiling), numbers(s.Utilisation)
	c.WaitP50, c.WaitP95, c.Depth = byClass(s.WaitP50), byClass(s.WaitP95), byClass(s.Depth)
	return p
}

func byClass(series [history.Classes][]float64) map[string][]number {
	all := make(map[string][]number, len(classes))
	for i, class := range classes {
		all[class] = numbers(series[i])
	}
	return all
}

func numbers(series []float64) []number {
	all := make([]number, len(series))
	for i, x := range series {
		all[i] = number(x)
	}
	return all
}

// number is null where it is none, and has three decimals at most: nobody sees more, and a day of them is short.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%g", math.Round(float64(n)*1000)/1000), nil
}

// clip bounds what a message repeats of what a stranger wrote.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
