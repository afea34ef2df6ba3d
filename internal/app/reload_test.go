package app

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/config"
)

func TestAChangeDuringTrafficLosesNoWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t, "SIDECAR_LIMITS=6-M", "SIDECAR_ADAPTIVE=false", "SIDECAR_MAX_WAIT=1h"))
		const clients = 40
		var group sync.WaitGroup
		var answered atomic.Int64
		for range clients {
			group.Go(func() {
				if status, body := r.chat(); status != http.StatusOK {
					t.Errorf("a request was answered %d %s; want 200", status, body)
				}
				answered.Add(1)
			})
		}
		time.Sleep(10 * time.Second)
		waiting := r.view().Queue.Total
		for i, change := range []string{
			`{"providers":[{"limits":"10-M"}]}`, `{"queue":{"capacity":1}}`, `{"queue":{"max_wait":"2h","overflow":"passthrough"}}`,
			`{"heartbeat":{"mode":"off"}}`, `{"log":{"level":"debug"}}`, `{"providers":[{"pin":"20-M"}]}`, `{"providers":[{"pin":null}]}`,
			`{"providers":[{"limits":"1000-M","burst":50}],"queue":{"capacity":1000}}`,
		} {
			r.patch(http.StatusOK, change)
			if now := r.steering().Version; now != i+2 {
				t.Errorf("after change %d the version is %d; want %d", i+1, now, i+2)
			}
			synctest.Wait()
			if is := int(answered.Load()) + r.app.gate.Len(); i < 7 && is != clients {
				t.Errorf("after %s %d are answered or wait; want %d", change, is, clients)
			}
			time.Sleep(time.Second)
		}
		began := time.Now()
		group.Wait()
		if passed := time.Since(began); passed > 5*time.Second {
			t.Errorf("the last of %d who waited was answered %v after the limit was raised; want soon", waiting, passed)
		}
		r.close()
	})
}

// counted is an upstream that counts what costs quota.
func counted(sent *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sent.Add(1)
		}
		plain(w, r)
	}
}

func TestALowerLimitHoldsFromTheNextGrant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		r := newRig(t, counted(&sent), environment(t, "SIDECAR_LIMITS=30-M", "SIDECAR_BURST=30"))
		for range 20 {
			r.chat()
		}
		r.patch(http.StatusOK, `{"providers":[{"limits":"5-M"}]}`)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() { r.chat() })
		}
		time.Sleep(59 * time.Second)
		if n := sent.Load(); n != 20 {
			t.Errorf("%d were sent in the first minute; want the 20 that were sent before the limit became 5", n)
		}
		group.Wait()
		if n := sent.Load(); n != 25 {
			t.Errorf("%d were sent; want 25", n)
		}
		r.close()
	})
}

func TestAPausedProviderHoldsItsRequestsUntilItGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		r := newRig(t, counted(&sent), environment(t))
		r.patch(http.StatusOK, `{"providers":[{"paused":true}]}`)
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if status, body := r.chat(); status != http.StatusOK {
					t.Errorf("a request that was held is answered %d %s; want 200", status, body)
				}
			})
		}
		time.Sleep(5 * time.Minute)
		if v := r.view(); sent.Load() != 0 || v.Queue.Total != 3 || !v.Providers[0].Paused {
			t.Errorf("while paused %d were sent and %d wait; want 0 and 3", sent.Load(), v.Queue.Total)
		}
		began := time.Now()
		r.patch(http.StatusOK, `{"providers":[{"paused":false}]}`)
		group.Wait()
		if passed := time.Since(began); passed != 0 {
			t.Errorf("they were sent %v after the provider went on; want at once", passed)
		}
		r.close()
	})
}

func TestDrainCanBeTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t))
		r.patch(http.StatusOK, `{"drain":true}`)
		if status, body := r.chat(); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
			t.Errorf("while it drains = %d %s; want 503 draining", status, body)
		}
		if !r.view().Draining {
			t.Error("the snapshot does not say that it drains")
		}
		r.patch(http.StatusOK, `{"drain":false}`)
		if status, body := r.chat(); status != http.StatusOK {
			t.Errorf("afterwards = %d %s; want 200", status, body)
		}
		r.close()
	})
}

func TestAChangeIsCheckedWholeBeforeAnythingOfItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t))
		before := r.steering()
		for change, param := range map[string]string{
			`{"queue":{"capacity":10,"max_wait":"soon"}}`:      "queue.max_wait",
			`{"queue":{"capacity":10},"log":{"level":"loud"}}`: "log.level",
			`{"queue":{"capacity":10,"max_bytes":"1MB"}}`:      "queue.max_bytes",
			`{"queue":{"capacity":10},"listen":":1"}`:          "listen",
			`{"queue":{"capacity":10},"quue":{}}`:              "quue",
			`{"queue":{"capacity":[10]}}`:                      "queue.capacity",
			`{"queue":{"capacity":10.5}}`:                      "queue.capacity",
			`{"queue":7}`:                                      "queue",
			`{"providers":[{"name":"nobody","paused":true}]}`:  "providers[0].name",
			`{"providers":[{"limits":"40-X"}]}`:                "providers[upstream].limits",
			`{"providers":[{"paused":true},{"paused":false}]}`: "providers[1].name",
			`{"providers":{"paused":true}}`:                    "providers",
			`{"providers":[{"accounts":[]}]}`:                  "providers[upstream].accounts",
		} {
			if answer := r.patch(http.StatusBadRequest, change); !strings.Contains(answer, `"param":"`+param+`"`) {
				t.Errorf("PATCH %s = %s; want it to name %s", change, answer, param)
			}
		}
		for _, body := range []string{"", "[]", "{}", `{"version":1}`, `{"settings":{}}`, `{"version":"1","settings":{}}`, `{"version":1,"settings":[]}`} {
			if status, answer := r.do(http.MethodPatch, "/sidecar/api/settings", body); status != http.StatusBadRequest {
				t.Errorf("PATCH %q = %d %s; want 400", body, status, answer)
			}
		}
		if after := r.steering(); marshal(after) != marshal(before) {
			t.Errorf("after refused changes the settings are %s; want %s", marshal(after), marshal(before))
		}
		if strings.Contains(r.log.String(), "settings applied") {
			t.Error("the log says that a refused change was applied")
		}
		r.close()
	})
}

func TestOfTwoWhoChangeTheSameVersionTheSecondIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t))
		const body = `{"version":1,"settings":{"queue":{"capacity":%}}}`
		var group sync.WaitGroup
		var ok, late atomic.Int64
		for i := range 8 {
			group.Go(func() {
				switch status, _ := r.do(http.MethodPatch, "/sidecar/api/settings", strings.ReplaceAll(body, "%", marshal(10+i))); status {
				case http.StatusOK:
					ok.Add(1)
				case http.StatusConflict:
					late.Add(1)
				}
			})
		}
		group.Wait()
		if ok.Load() != 1 || late.Load() != 7 {
			t.Errorf("%d were applied and %d told of a conflict; want 1 and 7", ok.Load(), late.Load())
		}
		r.close()
	})
}

func TestTheLogSaysWhoChangedWhat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, environment(t))
		r.patch(http.StatusOK, `{"log":{"level":"warn"},"queue":{"capacity":7}}`)
		at := time.Now().UnixMilli()
		s := r.steering()
		if len(s.Changed) != 1 || s.Changed[0].At != at || !slices.Equal(s.Changed[0].Keys, []string{"log.level", "queue.capacity"}) {
			t.Errorf("changed = %s; want now, log.level and queue.capacity", marshal(s.Changed))
		}
		r.patch(http.StatusOK, `{"log":{"level":"info"}}`)
		for _, want := range []string{`settings applied`, `by=127.0.0.1:`, `log.level: warn -> info`} {
			if log := r.log.String(); !strings.Contains(log, want) {
				t.Errorf("the log does not hold %q:\n%s", want, log)
			}
		}
		r.close()
	})
}

// file is a settings file in a directory of its own.
type file struct {
	t    *testing.T
	name string
}

func newFile(t *testing.T, content string) *file {
	f := &file{t, filepath.Join(t.TempDir(), "settings.yaml")}
	f.write(content)
	return f
}

func (f *file) write(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.name, []byte("providers: [{name: up, url: 'http://up.test/v1', accounts: [{keys: [k]}]}]\n"+content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *file) load() (*config.Config, error) {
	return config.Load(config.Sources{Environ: []string{"SIDECAR_CONFIG=" + f.name}})
}

func TestAChangedFileIsTakenOver(t *testing.T) {
	t.Parallel()
	f := newFile(t, "queue: {capacity: 10}\n")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, f.load)
		time.Sleep(10 * time.Second)
		if s := r.steering(); s.Version != 1 || !s.File.PathKnown || s.File.Error != nil {
			t.Errorf("settings %s; want version 1 from a file", marshal(s.File))
		}
		f.write("queue: {capacity: 20}\n")
		time.Sleep(3 * time.Second)
		if s := r.steering(); s.Version != 2 || r.view().Queue.Capacity != 20 || s.Changed[0].By != "file" {
			t.Errorf("after the file has changed: version %d, capacity %d; want 2, 20", s.Version, r.view().Queue.Capacity)
		}
		for name, bad := range map[string]string{"a value": "queue: {capacity: many}\n", "no YAML": "queue: {", "a restart": "listen: 127.0.0.1:1\n"} {
			f.write(bad + "# " + name)
			time.Sleep(3 * time.Second)
			v := r.view()
			if v.SettingsVersion != 2 || v.Queue.Capacity != 20 || v.SettingsError == nil {
				t.Errorf("%s: version %d, capacity %d, error %v; want those before and an error", name, v.SettingsVersion, v.Queue.Capacity, v.SettingsError)
			}
		}
		f.write("queue: {capacity: 20}\n")
		time.Sleep(3 * time.Second)
		if v := r.view(); v.SettingsVersion != 2 || v.SettingsError != nil {
			t.Errorf("after it was mended: version %d, error %v; want 2, none", v.SettingsVersion, v.SettingsError)
		}
		if err := os.Remove(f.name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if v := r.view(); v.Queue.Capacity != 20 || v.SettingsError == nil {
			t.Errorf("without the file: capacity %d, error %v; want 20 and an error", v.Queue.Capacity, v.SettingsError)
		}
		r.close()
	})
}

func TestAChangeHoldsUntilTheFileSaysSomethingElseOfIt(t *testing.T) {
	t.Parallel()
	f := newFile(t, "queue: {capacity: 10, max_wait: 5m}\n")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plain, f.load)
		r.patch(http.StatusOK, `{"queue":{"capacity":11,"max_wait":"6m"}}`)
		f.write("queue: {capacity: 10, max_wait: 7m}\n")
		if err := r.app.Reload(t.Context()); err != nil {
			t.Errorf("Reload() = %v; want nil", err)
		}
		if q := r.steering().Settings["queue"].(map[string]any); q["capacity"] != 11.0 || q["max_wait"] != "7m" {
			t.Errorf("queue = %v; want the capacity that was changed, 11, and the wait of the file, 7m", q)
		}
		r.patch(http.StatusOK, `{"queue":{"capacity":null}}`)
		if q := r.steering().Settings["queue"].(map[string]any); q["capacity"] != 10.0 {
			t.Errorf("after the change was taken back the capacity is %v; want the file's, 10", q["capacity"])
		}
		r.close()
	})
}

func TestSettingsThatCannotBeReadAgainStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		load := func() (*config.Config, error) {
			if calls++; calls > 1 {
				return nil, errors.New("queue.capacity: no")
			}
			return settings(t), nil
		}
		r := newRig(t, plain, load)
		if err := r.app.Reload(t.Context()); err == nil {
			t.Error("Reload() = nil; want the error of the settings")
		}
		if e := r.view().SettingsError; e == nil || *e != "queue.capacity: no" {
			t.Errorf("settings_error = %v; want what is wrong", e)
		}
		if !strings.Contains(r.log.String(), "settings file not taken over") {
			t.Error("the log does not say that the settings were not taken over")
		}
		r.close()
	})
}

// The store's database handle owns a goroutine, so this runs in real time, and waits for nothing.
func TestWhatWasChangedAndSeenOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(environ ...string) *App {
		t.Helper()
		return newApp(t, append(environ, "SIDECAR_STATE_DIR="+dir)...)
	}
	kept := func(change string) {
		t.Helper()
		a, err := New(options(settings(t, "SIDECAR_STATE_DIR="+dir), newNetwork(), discard()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.steering.Patch(t.Context(), "me", []byte(change)); err != nil {
			t.Errorf("Patch(%s) = %v", change, err)
		}
		a.sample(time.Now())
		a.saveHistory(t.Context())
		a.undo.run(a.logger)
	}
	kept(`{"version":1,"settings":{"queue":{"capacity":7},"providers":[{"limits":"9-M","paused":true}]}}`)
	a := start()
	if c := a.steering.config(); c.Queue.Capacity != 7 || c.Providers[0].Limits.String() != "9-M" || !c.Providers[0].Paused {
		t.Errorf("after a restart: capacity %d, limits %s, paused %t; want 7, 9-M, true", c.Queue.Capacity, c.Providers[0].Limits, c.Providers[0].Paused)
	}
	if s, _ := a.past.Series("15m"); slices.IndexFunc(s.Rate, func(x float64) bool { return x > 0 }) < 0 && a.past.log.Unsaved() == nil && len(s.Time) == 0 {
		t.Error("after a restart there is no history")
	}
	a = start("SIDECAR_QUEUE_CAPACITY=8")
	if c := a.steering.config(); c.Queue.Capacity != 8 || c.Providers[0].Limits.String() != "9-M" {
		t.Errorf("with another value in the environment: capacity %d, limits %s; want 8 and still 9-M", c.Queue.Capacity, c.Providers[0].Limits)
	}
}
