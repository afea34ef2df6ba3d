package app

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// description is the published description of the API, by which answers are judged.
type description struct {
	compiler *jsonschema.Compiler
	t        *testing.T
}

func describe(t *testing.T) *description {
	t.Helper()
	text, err := os.ReadFile("../dash/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := jsonschema.UnmarshalJSON(strings.NewReader(marshal(document)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", asJSON); err != nil {
		t.Fatal(err)
	}
	return &description{c, t}
}

// judge holds an answer to a schema of the description.
func (d *description) judge(what, schema, answer string) {
	d.t.Helper()
	s, err := d.compiler.Compile("openapi.json#/components/schemas/" + schema)
	if err != nil {
		d.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(answer))
	if err == nil {
		err = s.Validate(value)
	}
	if err != nil {
		d.t.Errorf("%s is not as openapi.yaml says: %v", what, err)
	}
}

// busy is an upstream that refuses each fourth request and takes a second for the others.
func busy() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%4 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		time.Sleep(time.Second)
		plain(w, r)
	}
}

func TestRealAnswersAreAsDescribed(t *testing.T) {
	t.Parallel()
	d := describe(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, busy(), environment(t, "SIDECAR_LIMITS_HINT=20-M", "SIDECAR_CLIENT_KEYS=alice:k1"))
		var clients sync.WaitGroup
		for i := range 30 {
			clients.Go(func() {
				class := []string{"urgent", "high", "normal", "low"}[i%4]
				r.chat("Authorization: Bearer k1", "X-Sidecar-Priority: "+class, "X-Sidecar-Max-Wait: 40s")
			})
		}
		time.Sleep(27 * time.Second)
		for path, schema := range map[string]string{
			"snapshot": "View", "history?range=15m": "History", "history?range=1h": "History", "settings": "Steering", "queue": "Queue",
			"history?range=x": "Error", "nothing": "Error",
		} {
			_, body := r.do(http.MethodGet, "/sidecar/api/"+path, "")
			d.judge("GET "+path, schema, body)
		}
		v := r.view()
		if len(v.Waiting) == 0 || len(v.Limits) == 0 || len(v.Requests) == 0 || len(v.Providers[0].Accounts[0].Keys) == 0 {
			t.Errorf("%s\nwant some who wait, limits, requests and keys: what is empty was not judged", marshal(v))
		}
		d.judge("a refused change", "Error", r.patch(http.StatusBadRequest, `{"queue":{"capacity":0}}`))
		d.judge("a change", "Steering", r.patch(http.StatusOK, `{"queue":{"capacity":500}}`))
		clients.Wait()
		r.close()
	})
}

func TestTheSnapshotTellsWhatGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t, "SIDECAR_LIMITS=2-M", "SIDECAR_ADAPTIVE=false"))
		var clients sync.WaitGroup
		for range 5 {
			clients.Go(func() { r.chat("X-Sidecar-Agent: planner", "X-Sidecar-Priority: high") })
		}
		time.Sleep(30 * time.Second)
		v := r.view()
		if v.Queue.Total != 3 || v.Queue.Classes[1].Waiting != 3 || len(v.Waiting) != 3 || v.Queue.Capacity != 1000 {
			t.Errorf("queue %s and %d who wait; want 3 of class HIGH, of 1000", marshal(v.Queue), len(v.Waiting))
		}
		if w := v.Waiting[0]; w.Agent != "planner" || w.Class != "HIGH" || *w.Model != "m" || w.WaitedMS != 30_000 || w.Place != 1 {
			t.Errorf("the first who waits is %s; want planner, HIGH, m, for 30 s", marshal(w))
		}
		if w := v.Limits[len(v.Limits)-1].Windows[0]; w.Limit != 2 || w.Used != 2 || w.Period != "M" || w.Learned || *w.Configured != 2 {
			t.Errorf("the window of the model is %s; want 2 of 2 of a minute, not learned", marshal(w))
		}
		if v.TokensAvailable != 0 || *v.Rate.Configured != 2 || v.State != "NORMAL" || !v.Healthy && v.Draining {
			t.Errorf("%v slots, rate %s, state %s; want 0, 2 and NORMAL", v.TokensAvailable, marshal(v.Rate), v.State)
		}
		if len(v.Requests) != 2 || v.Requests[0].Status != 200 || *v.Requests[0].InputTokens != 5 || *v.Requests[0].OutputTokens != 7 {
			t.Errorf("requests %s; want two with 5 and 7 tokens", marshal(v.Requests))
		}
		id := v.Waiting[2].ID
		if status, body := r.do(http.MethodDelete, "/sidecar/api/queue/"+id, ""); status != http.StatusNoContent {
			t.Errorf("DELETE queue/%s = %d %s; want 204", id, status, body)
		}
		if status, _ := r.do(http.MethodDelete, "/sidecar/api/queue/"+id, ""); status != http.StatusNotFound {
			t.Errorf("a second DELETE = %d; want 404", status)
		}
		clients.Wait()
		r.close()
	})
}

func TestTheSeriesSayWhatWasSentAndRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, busy(), environment(t, "SIDECAR_LIMITS=600-M", "SIDECAR_ADAPTIVE=false"))
		for range 8 {
			r.chat()
		}
		time.Sleep(20 * time.Second)
		_, body := r.do(http.MethodGet, "/sidecar/api/history", "")
		var past struct {
			Series struct {
				Granted, Refused []*float64
				WaitP95          map[string][]*float64 `json:"wait_p95"`
			}
		}
		if err := json.Unmarshal([]byte(body), &past); err != nil {
			t.Fatal(err)
		}
		sum := func(list []*float64) (n float64) {
			for _, x := range list {
				if x != nil {
					n += *x
				}
			}
			return n
		}
		if granted, refused := sum(past.Series.Granted), sum(past.Series.Refused); granted != 10 || refused != 2 {
			t.Errorf("%v granted, %v refused; want 8 and 2 that were sent again, 2", granted, refused)
		}
		if high, normal := sum(past.Series.WaitP95["HIGH"]), sum(past.Series.WaitP95["NORMAL"]); high != 0 || normal == 0 {
			t.Errorf("HIGH waited %v ms and NORMAL %v; want nobody, and those who were refused", high, normal)
		}
		r.close()
	})
}

func TestWhoMayLookAndChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t, "SIDECAR_ADMIN_TOKEN=let-me-in"))
		for _, tt := range []struct {
			method, path string
			headers      []string
			status       int
		}{
			{"GET", "snapshot", nil, 200},
			{"GET", "snapshot", []string{"X-Forwarded-For: 10.1.2.3"}, 401},
			{"GET", "snapshot", []string{"X-Forwarded-For: 10.1.2.3", "Authorization: Bearer let-me-in"}, 200},
			{"PATCH", "settings", nil, 401},
			{"PATCH", "settings", []string{"Authorization: Bearer let-me-out"}, 401},
			{"PATCH", "settings", []string{"Authorization: Bearer let-me-in"}, 400}, // it is read
			{"DELETE", "queue/x", nil, 401},
			{"DELETE", "queue/x", []string{"Authorization: Bearer let-me-in"}, 404},
			{"GET", "snapshot", []string{"Origin: http://evil.example"}, 403},
		} {
			if status, body := r.do(tt.method, "/sidecar/api/"+tt.path, "{}", tt.headers...); status != tt.status {
				t.Errorf("%s %s with %q = %d %s; want %d", tt.method, tt.path, tt.headers, status, body, tt.status)
			}
		}
		if strings.Contains(r.log.String(), "let-me-in") {
			t.Error("the token is in the log")
		}
		r.close()
	})
}

// The stop waits for running requests; a page that looks on must not be one of them.
func TestAStopDoesNotWaitForThoseWhoLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t))
		var viewer sync.WaitGroup
		viewer.Go(func() { r.do(http.MethodGet, "/sidecar/api/events", "") })
		time.Sleep(time.Second)
		began := time.Now()
		r.close()
		viewer.Wait()
		if passed := time.Since(began); passed > 100*time.Millisecond {
			t.Errorf("the stop took %v with a viewer; want no more than net/http takes to see that nobody asks", passed)
		}
	})
}
