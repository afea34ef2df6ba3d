package mock

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// Options configure a Server. The zero value behaves like NVIDIA's gateway with a limit of 40 a minute for each key and
// model, answers at once, and serves any model it is asked for.
type Options struct {
	// Limits are the limits of each account and model, all of which must hold: "40-M,1000-H" with S, M, H or D; "none" is no
	// limit. For the limiter "inflight" it is a plain number. Default "40-M", for "inflight" "32".
	Limits string
	// ModelLimits replace Limits for some models.
	ModelLimits map[string]string
	// AccountLimits replace Limits and ModelLimits for some accounts.
	AccountLimits map[string]string
	// Limiter is how hits are counted: "nvidia" (a window that opens at the first hit, refusals counted), "minute" (aligned to
	// the clock), "sliding", "sliding-refusals", "bucket", "inflight" or "none". Default "nvidia".
	Limiter string
	// Burst is the size of a bucket in requests. Zero is the N of each limit.
	Burst int
	// RateHeaders are the headers in which the limiter tells its state: "none" as NVIDIA does, or "retry-after", "openai",
	// "anthropic", "openrouter", "ietf", "ietf-old". Default "none".
	RateHeaders string
	// Async lets a request pass while the limiter is still being asked, as NVIDIA does by default: what goes over the limit
	// passes too, and only then is everything checked strictly for a minute.
	Async bool
	// AsyncPods is how many pods of the gateway find out independently of each other. Default 2.
	AsyncPods int
	// CheckLatency is the (real) time to the limiter and back, with Async only. Default 20ms.
	CheckLatency time.Duration
	// TimeScale is how much faster the limiter's clock runs: with 60 its minute lasts a second. Default 1.
	TimeScale float64
	// Versions is how many active versions each model has. The version is drawn for each request and has a limiter of its
	// own. Default 1.
	Versions int

	// Workers is how many requests of one model run at once. Default 32; negative is any number.
	Workers int
	// QueueLength is how many more of a model may wait for a worker. Default 100,000; negative is none, and then a model
	// whose workers are busy answers ResourceExhausted.
	QueueLength int
	// Service is how long a worker works before it can begin its answer. Default none.
	Service time.Duration
	// FirstByte is a silence after that, before the first byte. Default none.
	FirstByte time.Duration
	// ChunkGap is the pause between the events of a stream. Default none.
	ChunkGap time.Duration
	// Chunks is the length of an answer: its words, tokens and content events. Default 16.
	Chunks int
	// UsageComments adds NIM's comment line with the token counts to each stream.
	UsageComments bool

	// Accounts maps keys to accounts, which share their limits. Default: each key is an account of its own.
	Accounts map[string]string
	// Keys are the valid keys. Default: any.
	Keys []string
	// Models is the catalogue. Default: any model is served.
	Models []string
	// ModelStates are the models that do not just work: "offline", "gone", "degraded", "inactive", "not_entitled", or
	// "deprecated". They are in the catalogue too.
	ModelStates map[string]string

	// Log gets every Arrival as a JSON line, one Write each, possibly at the same time. Default: none.
	Log io.Writer
	// KeepArrivals is how many of the latest arrivals are remembered. Default 65,536.
	KeepArrivals int
}

// withDefaults returns a copy with every default filled in.
func (o Options) withDefaults() Options {
	o.Limiter = cmp.Or(o.Limiter, string(limiter.FirstHit))
	limits := "40-M"
	if o.Limiter == string(limiter.InFlight) {
		limits = "32"
	}
	o.Limits = cmp.Or(o.Limits, limits)
	o.RateHeaders = cmp.Or(o.RateHeaders, "none")
	o.AsyncPods = cmp.Or(o.AsyncPods, 2)
	o.CheckLatency = cmp.Or(o.CheckLatency, 20*time.Millisecond)
	o.TimeScale = cmp.Or(o.TimeScale, 1)
	o.Versions = cmp.Or(o.Versions, 1)
	o.Workers = cmp.Or(o.Workers, 32)
	o.QueueLength = cmp.Or(o.QueueLength, 100_000)
	o.Chunks = cmp.Or(o.Chunks, 16)
	o.KeepArrivals = cmp.Or(o.KeepArrivals, 1<<16)
	return o
}

// check returns an error that names the first option that cannot be, and its value.
func (o Options) check() error {
	for _, f := range []struct {
		name  string
		value any
		bad   bool
		want  string
	}{
		{"Burst", o.Burst, o.Burst < 0, "zero or more"},
		{"RateHeaders", o.RateHeaders, dialects[o.RateHeaders] == nil, "one of " + names(dialects)},
		{"Async", o.Async, o.Async && o.Limiter == string(limiter.InFlight), "false: a cap on what runs at once is not checked afterwards"},
		{"AsyncPods", o.AsyncPods, o.AsyncPods < 1, "at least 1"},
		{"CheckLatency", o.CheckLatency, o.CheckLatency < 0, "no negative time"},
		{"TimeScale", o.TimeScale, !(o.TimeScale >= 1e-3 && o.TimeScale <= 1e6), "0.001 to 1,000,000"},
		{"Versions", o.Versions, o.Versions < 1, "at least 1"},
		{"Service", o.Service, o.Service < 0, "no negative time"},
		{"FirstByte", o.FirstByte, o.FirstByte < 0, "no negative time"},
		{"ChunkGap", o.ChunkGap, o.ChunkGap < 0, "no negative time"},
		{"Chunks", o.Chunks, o.Chunks < 1 || o.Chunks > 100_000, "1 to 100,000"},
		{"KeepArrivals", o.KeepArrivals, o.KeepArrivals < 1, "at least 1"},
	} {
		if f.bad {
			return fmt.Errorf("mock: option %s %v: want %s", f.name, f.value, f.want)
		}
	}
	for model, state := range o.ModelStates {
		if !slices.Contains(modelStates, state) {
			return fmt.Errorf("mock: option ModelStates: %s %q: want one of %s", model, state, strings.Join(modelStates, ", "))
		}
	}
	return nil
}

// names returns the keys of a table in order, for messages.
func names[V any](table map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(table)), ", ")
}
