package top

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"nimsidecar/internal/dash"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// noon is when the sample was made.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// sample is a busy sidecar.
func sample() *dash.View {
	now := noon.UnixMilli()
	before := func(d time.Duration) *int64 { return new(now - d.Milliseconds()) }
	return &dash.View{
		Seq: 7, Now: now, Version: "0.1.0", UptimeS: 7384, Healthy: true, StateDir: true,
		State: "RETREAT", StateReason: "two refusals in a row", StateSince: before(42 * time.Second),
		TokensAvailable: 2, Rate: dash.Rate{Effective: new(38.25), Ceiling: new(40.0), Configured: new(40.0), Sent: 37.5},
		Utilisation: new(0.9375), RefusedShare: new(0.004),
		Queue: dash.Depths{Total: 31, Capacity: 1000, Bytes: 12345, Classes: []dash.Class{
			{Class: "URGENT"},
			{Class: "HIGH", Waiting: 1, OldestMS: new(int64(1200)), P50MS: new(300.0), P95MS: new(2100.0)},
			{Class: "NORMAL", Waiting: 6, OldestMS: new(int64(15_000)), P50MS: new(4000.0), P95MS: new(16_000.0)},
			{Class: "LOW", Waiting: 24, OldestMS: new(int64(185_000)), P50MS: new(64_000.0), P95MS: new(190_000.0)},
		}},
		Waiting: []dash.Waiter{
			{Class: "HIGH", Place: 1, Agent: "pair-programmer", Model: new("meta/llama-3.3-70b-instruct"), Provider: "nvidia", WaitedMS: 1200, ETAMS: new(int64(900))},
			{Class: "NORMAL", Place: 2, Agent: "审稿助手", Model: new("通义千问/通义千问-超长的模型名称-七十二亿参数-指令版"), Provider: "nvidia", WaitedMS: 15_000, Repeat: true},
			{Class: "LOW", Place: 3, Agent: "nightly-labels", Provider: "nvidia", WaitedMS: 185_000, ETAMS: new(int64(75_000))},
		},
		WaitingMore: 28,
		Limits: []dash.Limit{
			{
				Provider: "nvidia", Account: "default", Model: new("meta/llama-3.3-70b-instruct"), State: "RETREAT", Confidence: "confirmed", PausedUntil: new(now + 8000),
				Windows: []dash.Window{{Period: "M", Limit: 40, Used: 39, Resets: new(now + 21_000)}, {Period: "H", Limit: 1000, Used: 640}},
				Burst:   new(10), InFlight: new(3), InFlightMax: new(16), LastRefusal: before(42 * time.Second), Refusals: 12, Charged: 1234,
			},
			{Provider: "nvidia", Account: "default", Model: new("meta/llama-3.1-8b-instruct"), State: "NORMAL", Confidence: "told", InFlight: new(0), Charged: 17},
			{Provider: "nvidia", Account: "default", State: "RECOVER", Confidence: "learning"},
		},
		Requests: []dash.Request{
			{Class: "URGENT", Agent: "chat-ui", Model: new("meta/llama-3.3-70b-instruct"), Status: 200, Started: now - 4000, QueuedMS: 20, FirstByteMS: new(int64(320)), TotalMS: 2400, Attempts: make([]dash.Attempt, 1)},
			{Class: "LOW", Agent: "nightly-labels", Status: 503, Reason: new("queue_timeout"), Started: now - 900_500, QueuedMS: 900_000, TotalMS: 900_000, Attempts: []dash.Attempt{}},
		},
		Providers: []dash.Provider{
			{Name: "nvidia", URLHost: "integrate.api.nvidia.com", Default: true, Healthy: true, Accounts: []dash.Account{{
				Name: "default", Keys: []dash.Key{{Alias: "one", Healthy: true}, {Alias: "two", Reason: new("401")}},
			}}},
			{Name: "local", URLHost: "127.0.0.1:8000", Paused: true, Accounts: []dash.Account{}},
		},
	}
}

// troubled is the sample with everything that a notice tells.
func troubled() *dash.View {
	v := sample()
	v.Demo, v.Draining, v.Healthy, v.StoreDegraded = true, true, false, true
	v.SettingsError = new("sidecar.yaml:2:3: queue: unknown key \"capcity\"")
	return v
}

// young is a sidecar that has done nothing yet.
func young() *dash.View {
	v := &dash.View{Seq: 1, Now: noon.UnixMilli(), Version: "0.1.0", Healthy: true, State: "NORMAL", Queue: dash.Depths{Capacity: 1000}}
	for _, class := range []string{"URGENT", "HIGH", "NORMAL", "LOW"} {
		v.Queue.Classes = append(v.Queue.Classes, dash.Class{Class: class})
	}
	v.Providers = []dash.Provider{{Name: "nvidia", URLHost: "integrate.api.nvidia.com", Default: true, Healthy: true}}
	return v
}

// looks are the golden files.
func looks() map[string]struct {
	view *dash.View
	look Look
} {
	live := func(width, height int) Look {
		return Look{Width: width, Height: height, Live: true, Where: "127.0.0.1:9190", Now: noon.Add(time.Second), Heard: noon}
	}
	with := func(l Look, change func(*Look)) Look {
		change(&l)
		return l
	}
	chinese := func(l *Look) { l.Language = Chinese }
	return map[string]struct {
		view *dash.View
		look Look
	}{
		"80x24":         {sample(), live(80, 24)},
		"120x40":        {sample(), live(120, 40)},
		"40x10":         {sample(), live(40, 10)},
		"80x24-zh":      {sample(), with(live(80, 24), chinese)},
		"40x10-zh":      {sample(), with(live(40, 10), chinese)},
		"80x24-colour":  {sample(), with(live(80, 24), func(l *Look) { l.Colour = true })},
		"80x24-trouble": {troubled(), with(live(80, 24), func(l *Look) { l.Now, l.Trouble = noon.Add(9*time.Second), "no sidecar answers at 127.0.0.1:9190" })},
		"120x40-young":  {young(), live(120, 40)},
		"status":        {sample(), with(live(0, 0), func(l *Look) { l.Live = false })},
		"status-zh":     {troubled(), with(live(0, 0), func(l *Look) { l.Live, l.Language = false, Chinese })},
	}
}

func TestTheViewLooksAsItDid(t *testing.T) {
	t.Parallel()
	for name, tt := range looks() {
		path := filepath.Join("testdata", name+".txt")
		got := strings.Join(Lines(tt.view, tt.look), "\n") + "\n"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got; go test -update writes it):\n%s", name, diff)
		}
	}
}

func TestTheViewFitsIntoEverySize(t *testing.T) {
	t.Parallel()
	for width := 1; width <= 200; width += 7 {
		for height := 1; height <= 60; height += 1 + height/8 {
			look := Look{Width: width, Height: height, Live: true, Where: "127.0.0.1:9190", Now: noon, Language: Language(height % 2)}
			lines := Lines(troubled(), look)
			if len(lines) > height {
				t.Fatalf("%d lines in %dx%d", len(lines), width, height)
			}
			for i, l := range lines {
				if n := columns(l); n > width {
					t.Fatalf("line %d of %dx%d has %d columns: %q", i, width, height, n, l)
				}
			}
		}
	}
}

// poison puts a text into every string of a value.
func poison(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		poison(v.Elem(), text)
	case reflect.Struct:
		for _, field := range v.Fields() {
			poison(field, text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), text)
		}
	}
}

func TestNoTextOfASnapshotReachesTheTerminalAsAControlSequence(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{"\x1b]52;c;cHduZWQ=\x07", "\x1b[2J\x1b[1;1H", "\u009b31m", "a\r\n\x00b", "\u202eabc", "\xff\xfe\xfd", "%s%d\x1bc"} {
		v := troubled()
		poison(reflect.ValueOf(v), evil)
		for _, look := range []Look{
			{},
			{Live: true, Where: evil, Trouble: evil, Heard: noon, Now: noon.Add(time.Hour)},
			{Width: 80, Height: 50, Live: true, Language: Chinese, Where: evil, Trouble: evil, Heard: noon, Now: noon.Add(time.Hour)},
		} {
			for _, l := range Lines(v, look) {
				if strings.ContainsFunc(l, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("with %q in all its places the view has the line %q", evil, l)
				}
			}
		}
	}
}

func TestOnlyALiveViewNamesSingleRequests(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		text := strings.Join(Lines(sample(), Look{Live: live}), "\n")
		for _, part := range []string{"pair-programmer", "chat-ui", "q quits"} {
			if strings.Contains(text, part) != live {
				t.Errorf("live %v: %q is in the view: %v", live, part, !live)
			}
		}
	}
}

func TestAViewIsStaleAfterFiveSeconds(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]bool{0: false, 5 * time.Second: false, 5*time.Second + 1: true, time.Hour: true} {
		text := strings.Join(Lines(sample(), Look{Heard: noon, Now: noon.Add(age)}), "\n")
		if got := strings.Contains(text, "STALE"); got != want {
			t.Errorf("after %v stale is %v; want %v", age, got, want)
		}
	}
}

func TestEveryWordIsThereInBothLanguages(t *testing.T) {
	t.Parallel()
	en, zh := reflect.ValueOf(english()), reflect.ValueOf(chinese())
	for i := range en.NumField() {
		name, a, b := en.Type().Field(i).Name, en.Field(i).String(), zh.Field(i).String()
		if a == "" || b == "" {
			t.Errorf("%s is %q and %q; want a word in both languages", name, a, b)
		}
		for _, verb := range []string{"%s", "%d"} {
			if strings.Count(a, verb) != strings.Count(b, verb) {
				t.Errorf("%s is %q and %q; want the same verbs", name, a, b)
			}
		}
		if Clean(a+b) != a+b {
			t.Errorf("%s is %q and %q; want what shows", name, a, b)
		}
	}
}

func TestTheLocaleChoosesTheLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		environ []string
		want    Language
	}{
		{nil, English},
		{[]string{"LANG=zh_CN.UTF-8"}, Chinese},
		{[]string{"LANG=de_DE.UTF-8"}, English},
		{[]string{"LANG=zh_CN.UTF-8", "LC_ALL=C"}, English},
		{[]string{"LANG=zh_CN.UTF-8", "LC_ALL="}, Chinese},
		{[]string{"LC_MESSAGES=zh_TW", "LANG=en_US"}, Chinese},
		{[]string{"LANGUAGE=zh", "XLANG=zh"}, English},
	} {
		if got := LanguageOf(tt.environ); got != tt.want {
			t.Errorf("LanguageOf(%q) = %v; want %v", tt.environ, got, tt.want)
		}
	}
}

func TestBrief(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 0: "0.0s", 40 * time.Millisecond: "0.0s", 1250 * time.Millisecond: "1.3s", 9950 * time.Millisecond: "10s",
		59400 * time.Millisecond: "59s", 59500 * time.Millisecond: "1m00s", 185 * time.Second: "3m05s", time.Hour: "1h00m", 26 * time.Hour: "1d02h", 400 * 24 * time.Hour: "400d00h",
		9949 * time.Millisecond: "9.9s", time.Hour - time.Millisecond: "1h00m", 24*time.Hour - time.Millisecond: "1d00h",
	} {
		if got := brief(d); got != want {
			t.Errorf("brief(%v) = %s; want %s", d, got, want)
		}
	}
}

// BenchmarkLines is what a terminal costs a second. Budget: 300 µs.
func BenchmarkLines(b *testing.B) {
	v := sample()
	b.ReportAllocs()
	for b.Loop() {
		if len(Lines(v, Look{Width: 120, Height: 40, Live: true, Colour: true, Now: noon})) == 0 {
			b.Fatal("no lines")
		}
	}
}
