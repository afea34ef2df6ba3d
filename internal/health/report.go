package health

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

var (
	errUnknown = errors.New("not checked yet")
	errHangs   = errors.New("the check does not come back")
)

// report is the body of an answer.
type report struct {
	Status string        `json:"status"`           // alive, ready, not_ready, draining
	Failed []string      `json:"failed,omitempty"` // the names of the checks that are not well
	Checks []checkReport `json:"checks,omitempty"` // all checks, for ?verbose
}

type checkReport struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	AgeMS int64  `json:"age_ms"` // since the check last ended; 0 when it never did
}

const ready = "ready"

// report returns what is known now.
func (h *Health) report() report {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	rep := report{Status: ready}
	for _, c := range h.checks {
		err := c.verdict(now, h.timeout)
		line := checkReport{Name: c.Name, OK: err == nil}
		if !c.ended.IsZero() {
			line.AgeMS = now.Sub(c.ended).Milliseconds()
		}
		if err != nil {
			line.Error = err.Error()
			rep.Status = "not_ready"
			rep.Failed = append(rep.Failed, c.Name)
		}
		rep.Checks = append(rep.Checks, line)
	}
	if h.draining {
		rep.Status = "draining"
	}
	return rep
}

// verdict returns what is known of a check: nil means that it is well.
func (c *state) verdict(now time.Time, timeout time.Duration) error {
	switch {
	case !c.started.IsZero() && now.Sub(c.started) > timeout: // it does not heed its context
		return errHangs
	case c.ended.IsZero():
		return errUnknown
	}
	return c.err
}

// write sends a report. That the reader has gone is nobody's trouble.
func write(w http.ResponseWriter, status int, rep report) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(rep)
}
