package mock

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// controls returns the handler of /mock/, through which a running mock is watched and changed.
func (s *Server) controls() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mock/stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("GET /mock/arrivals", s.showArrivals)
	mux.HandleFunc("PUT /mock/limits", s.changeLimits)
	mux.HandleFunc("POST /mock/limits", s.changeLimits)
	mux.HandleFunc("POST /mock/faults", s.armFault)
	mux.HandleFunc("POST /mock/reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		done(w, nil)
	})
	return mux
}

func (s *Server) showArrivals(w http.ResponseWriter, r *http.Request) {
	after := 0
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.Atoi(text); err != nil {
			done(w, fmt.Errorf("after %q: want a sequence number", text))
			return
		}
	}
	reply(w, http.StatusOK, s.arrivals.since(after))
}

// duration is a time.Duration that is a text in JSON, such as "1m30s".
type duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func (s *Server) changeLimits(w http.ResponseWriter, r *http.Request) {
	var in struct {
		LimitChange
		After duration `json:"after"`
	}
	err := decode(r, &in)
	if err == nil {
		in.LimitChange.After = time.Duration(in.After)
		err = s.SetLimits(in.LimitChange)
	}
	done(w, err)
}

func (s *Server) armFault(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Fault
		Delay duration `json:"delay"`
	}
	err := decode(r, &in)
	if err == nil {
		in.Fault.Delay = time.Duration(in.Delay)
		err = s.Arm(in.Fault)
	}
	done(w, err)
}

// done answers with an empty object, or with the error as the client's own.
func done(w http.ResponseWriter, err error) {
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	reply(w, http.StatusOK, struct{}{})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", jsonBody)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

// decode reads one JSON object, and refuses members it does not know.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}
