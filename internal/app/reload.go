package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"nimsidecar/internal/config"
	"nimsidecar/internal/dash"
)

// steering is the settings while the App runs: what the operator's file, environment and flags say, what was changed on top of that, and
// what both make together. Changes take turns; whoever only reads waits for nobody.
//
// A change that was made on top holds until it is taken back, or until file, environment or flags say something else of the same setting
// than when it was made: they are the operator's, and what was said last counts.
type steering struct {
	load   func() (*config.Config, error) // reads file, environment and flags again; nil where that cannot be
	keep   func(context.Context, []byte) error
	parts  []part
	logger *slog.Logger

	failures atomic.Uint64 // of reading again

	turn   chan struct{} // capacity 1: full while somebody changes something
	closed atomic.Bool   // set with the turn: nothing changes any more
	state  atomic.Pointer[steered]
}

// part is one part of the sidecar that settings can change while it runs. Check may say no, and must change nothing; Apply cannot fail.
// Either may be nil.
type part struct {
	name  string
	check func(*config.Config) error
	apply func(*config.Config)
}

// steered is the settings at one moment. It is immutable.
type steered struct {
	base    *config.Config      // file, environment and flags
	overlay map[string]override // on top of it
	config  *config.Config      // both
	version int
	changed []dash.Change // the newest first

	fileError string    // why the file was not taken over when it was last read
	fileRead  time.Time // when it was last taken over
}

// override is a setting that was changed while running.
type override struct {
	Value string `json:"value"`
	Base  string `json:"base"` // what file, environment and flags said then
}

// changesShown is how many changes are remembered.
const changesShown = 50

// newSteering returns the steering of settings that are in effect.
func newSteering(c *config.Config, logger *slog.Logger) *steering {
	s := &steering{logger: logger, turn: make(chan struct{}, 1)}
	s.state.Store(&steered{base: c, config: c, version: 1, fileRead: time.Now(), overlay: map[string]override{}})
	return s
}

// config returns the settings in effect.
func (s *steering) config() *config.Config { return s.state.Load().config }

// version returns a number that rises with each change.
func (s *steering) version() int { return s.state.Load().version }

// fileError returns why the file was not taken over when it was last read; nil where it was.
func (s *steering) fileError() *string { return text(s.state.Load().fileError) }

// Current implements dash.Settings.
func (s *steering) Current() dash.Steering {
	shown := s.state.Load().shown()
	shown.ReadOnly = s.closed.Load()
	return shown
}

// close waits for a change that is under way, and refuses those that come.
func (s *steering) close() {
	_ = s.take(context.Background(), func() error { s.closed.Store(true); return nil })
}

func (st *steered) shown() dash.Steering {
	shown := dash.Steering{
		Version: st.version, Settings: st.config.LiveTree(), Schema: config.LiveSchema(), Changed: slices.Clone(st.changed),
		File: dash.File{PathKnown: st.base.File != "", Error: text(st.fileError)},
	}
	if shown.Changed == nil {
		shown.Changed = []dash.Change{}
	}
	if shown.File.PathKnown {
		shown.File.Read = millis(st.fileRead)
	}
	return shown
}

// Patch implements dash.Settings: all of the change holds, or nothing of it.
func (s *steering) Patch(ctx context.Context, by string, body []byte) (dash.Steering, error) {
	var request struct {
		Version  *int            `json:"version"`
		Settings json.RawMessage `json:"settings"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return dash.Steering{}, badChange("", "the body is no JSON object with version and settings: "+err.Error())
	}
	if request.Version == nil || request.Settings == nil {
		return dash.Steering{}, badChange("version", "the body needs version, the one that was last seen, and settings, those that change")
	}
	err := s.take(ctx, func() error {
		st := s.state.Load()
		if *request.Version != st.version {
			return &dash.Error{
				Status: http.StatusConflict, Param: "version", Code: dash.Conflict,
				Message: fmt.Sprintf("the settings have changed: version %d is now %d; read them again, and repeat the change", *request.Version, st.version),
			}
		}
		change, err := st.config.ParseChange(request.Settings)
		if err != nil {
			return refusal(err)
		}
		overlay := st.overlaid(change)
		return s.switchTo(ctx, &steered{base: st.base, overlay: overlay, fileError: st.fileError, fileRead: st.fileRead}, by)
	})
	if err != nil {
		return dash.Steering{}, err
	}
	return s.Current(), nil
}

// overlaid returns what is on top of the base once a change is made as well.
func (st *steered) overlaid(change config.Live) map[string]override {
	base := st.base.Live()
	overlay := maps.Clone(st.overlay)
	for key, value := range change {
		if value == config.Reset {
			delete(overlay, key)
		} else {
			overlay[key] = override{Value: value, Base: base[key]}
		}
	}
	return overlay
}

// Reload reads file, environment and flags again. What changes by that while running is applied; what was changed on top holds where they
// say the same as before. With an error everything stays as it is, and log, metrics and dashboard say so.
func (s *steering) Reload(ctx context.Context) error {
	if s.load == nil {
		return errors.New("settings cannot be read again")
	}
	return s.take(ctx, func() error {
		st := *s.state.Load()
		base, err := s.load()
		if err == nil {
			said, overlay := base.Live(), map[string]override{}
			for key, o := range st.overlay {
				if said[key] == o.Base {
					overlay[key] = o
				}
			}
			err = s.switchTo(ctx, &steered{base: base, overlay: overlay, fileRead: time.Now()}, "file")
		}
		if err == nil {
			s.logger.Info("settings read again", "version", s.version())
		}
		if err != nil {
			s.failures.Add(1)
			st.fileError = err.Error()
			s.state.Store(&st)
			s.logger.Error("settings file not taken over: the settings before hold", "error", err)
		}
		return err
	})
}

// restore puts on top what an earlier process was told, as far as it still holds.
func (s *steering) restore(kept []byte) {
	st := s.state.Load()
	overlay := map[string]override{}
	if len(kept) == 0 || json.Unmarshal(kept, &overlay) != nil {
		return
	}
	said := st.base.Live()
	maps.DeleteFunc(overlay, func(key string, o override) bool { v, known := said[key]; return !known || v != o.Base })
	if len(overlay) == 0 {
		return
	}
	c, err := st.base.With(values(overlay))
	if err != nil {
		s.logger.Warn("settings that were changed while running hold no more", "error", err)
		return
	}
	s.state.Store(&steered{base: st.base, overlay: overlay, config: c, version: 1, fileRead: st.fileRead})
	s.logger.Info("settings restored", "keys", slices.Sorted(maps.Keys(overlay)))
}

func values(overlay map[string]override) config.Live {
	all := config.Live{}
	for key, o := range overlay {
		all[key] = o.Value
	}
	return all
}

// switchTo checks the settings that base and overlay make, and then puts them in force everywhere. It is called with the turn.
func (s *steering) switchTo(ctx context.Context, next *steered, by string) error {
	st := s.state.Load()
	c, err := next.base.With(values(next.overlay))
	if err != nil {
		return refusal(err)
	}
	if fixed := config.NeedsRestart(st.config, c); len(fixed) > 0 {
		return badChange(fixed[0], strings.Join(fixed, ", ")+" cannot change while running: restart the sidecar, or take the change back")
	}
	for _, p := range s.parts {
		if p.check == nil {
			continue
		}
		if err := p.check(c); err != nil {
			return badChange(p.name, err.Error())
		}
	}
	keys := differing(st.config.Live(), c.Live())
	next.config, next.version, next.changed = c, st.version, st.changed
	if len(keys) == 0 {
		s.state.Store(next)
		return nil
	}
	next.version++
	next.changed = slices.Concat([]dash.Change{{At: time.Now().UnixMilli(), By: by, Keys: keys}}, st.changed)
	next.changed = next.changed[:min(len(next.changed), changesShown)]
	s.state.Store(next)
	for _, p := range s.parts {
		if p.apply != nil {
			p.apply(c)
		}
	}
	s.save(ctx, next.overlay)
	s.logger.Info("settings applied", "by", by, "version", next.version, "changes", described(st.config.Live(), c.Live(), keys))
	return nil
}

// save has what was changed on top kept. The store itself says what goes wrong.
func (s *steering) save(ctx context.Context, overlay map[string]override) {
	if s.keep == nil {
		return
	}
	if text, err := json.Marshal(overlay); err == nil {
		_ = s.keep(context.WithoutCancel(ctx), text)
	}
}

// differing lists the keys whose values differ.
func differing(before, after config.Live) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if before[key] != after[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// described says what changed to what. No setting that may change while running is a secret.
func described(before, after config.Live, keys []string) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = fmt.Sprintf("%s: %s -> %s", key, before[key], after[key])
	}
	return all
}

// take lets f have the turn.
func (s *steering) take(ctx context.Context, f func() error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.closed.Load() {
		return &dash.Error{
			Status: http.StatusServiceUnavailable, Code: dash.Conflict, Message: "nim-sidecar is shutting down: its settings change no more",
		}
	}
	return f()
}

// refusal is what a client is told of settings that cannot be: all problems, and the setting of the first.
func refusal(err error) *dash.Error {
	param := ""
	if first, ok := errors.AsType[*config.Problem](err); ok {
		param = first.Path
	}
	return badChange(param, strings.ReplaceAll(err.Error(), "\n", "; "))
}

func badChange(param, message string) *dash.Error {
	return &dash.Error{Status: http.StatusBadRequest, Param: param, Code: dash.BadRequest, Message: message}
}
