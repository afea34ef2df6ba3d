package dash

// The types of this file are the API's answers. Times are Unix milliseconds unless a name ends in _s (seconds) or _ms (a duration in
// milliseconds). What is unknown is nil, which is null, never 0; a list is never null.

// View is the whole state at one moment, at most a second old: the answer of GET snapshot, and the data of each event.
type View struct {
	Seq             uint64  `json:"seq"` // rises with each snapshot of a process
	Now             int64   `json:"now"`
	Version         string  `json:"version"`          // of the binary
	UptimeS         float64 `json:"uptime_s"`         // since the process began
	SettingsVersion int     `json:"settings_version"` // rises with each change of settings
	SettingsError   *string `json:"settings_error"`   // why the settings file was not taken over when it was last read
	Demo            bool    `json:"demo"`             // answers are synthetic
	Draining        bool    `json:"draining"`         // nothing new is admitted
	Healthy         bool    `json:"healthy"`          // as /readyz says
	StateDir        bool    `json:"state_dir"`        // what is learned outlives the process
	StoreDegraded   bool    `json:"store_degraded"`   // and at the moment does not

	State       string `json:"state"`        // of the default provider: the worst of its scopes
	StateReason string `json:"state_reason"` // of its last change; empty where there was none
	StateSince  *int64 `json:"state_since"`  // when it began; nil where nothing ever changed

	TokensAvailable float64  `json:"tokens_available"` // slots of the default provider that could be taken now
	Rate            Rate     `json:"rate"`             // of the default provider
	Utilisation     *float64 `json:"utilisation"`      // of the ceiling, in the last minute
	RefusedShare    *float64 `json:"refused_share"`    // of the answers of the last minute that were quota refusals, 0 to 1

	Queue       Depths     `json:"queue"`        // how full the waiting room is
	Waiting     []Waiter   `json:"waiting"`      // the first in order
	WaitingMore int        `json:"waiting_more"` // how many more wait
	Limits      []Limit    `json:"limits"`       // one for each scope in use, at most 200
	Requests    []Request  `json:"requests"`     // finished ones, the newest first
	Providers   []Provider `json:"providers"`    // the default one first
	Batches     []Batch    `json:"batches"`      // place kept: always empty
}

// Rate is the pace of the default provider, in attempts a minute over all its accounts.
type Rate struct {
	Effective  *float64 `json:"effective"`  // what pacing now uses
	Ceiling    *float64 `json:"ceiling"`    // what is known to be allowed
	Configured *float64 `json:"configured"` // what the settings say
	Sent       float64  `json:"sent"`       // what was granted in the last minute
}

// Depths is how full the waiting room is.
type Depths struct {
	Total    int     `json:"total"`    // how many wait
	Capacity int     `json:"capacity"` // how many may
	Bytes    int64   `json:"bytes"`    // of request bodies that are held
	Classes  []Class `json:"classes"`  // all four, the most urgent first
}

// Class is one class of the waiting room. The percentiles are of the waits that ended in the last five minutes.
type Class struct {
	Class    string   `json:"class"`     // its name
	Waiting  int      `json:"waiting"`   // how many wait
	OldestMS *int64   `json:"oldest_ms"` // how long the one has waited that waits longest; nil for none
	P50MS    *float64 `json:"p50_ms"`    // half of the waits were no longer
	P95MS    *float64 `json:"p95_ms"`    // 95 of 100 were no longer
}

// Waiter is one who waits.
type Waiter struct {
	ID       string  `json:"id"`        // of its request
	Class    string  `json:"class"`     // of its request
	Agent    string  `json:"agent"`     // who asks
	Client   *string `json:"client"`    // the configured client, if there are any
	Model    *string `json:"model"`     // nil where the request names none
	Provider string  `json:"provider"`  // that it waits for
	WaitedMS int64   `json:"waited_ms"` // all waits together
	Place    int     `json:"place"`     // 1 is next
	ETAMS    *int64  `json:"eta_ms"`    // until it will probably be granted
	Repeat   bool    `json:"repeat"`    // an SDK's repetition of a request
}

// Limit is what is known of one scope.
type Limit struct {
	Provider    string   `json:"provider"`      // of the scope
	Account     string   `json:"account"`       // of the scope
	Model       *string  `json:"model"`         // null is the whole account
	State       string   `json:"state"`         // NORMAL, RETREAT or RECOVER
	Reason      *string  `json:"reason"`        // of its last change
	Windows     []Window `json:"windows"`       // those that are limited at present
	Confidence  string   `json:"confidence"`    // told, learning, suspected or confirmed
	PausedUntil *int64   `json:"paused_until"`  // nothing is sent before; nil while it is not paused
	Burst       *int     `json:"burst"`         // how many may leave at once; nil while nothing is known of it
	InFlight    *int     `json:"in_flight"`     // attempts under way on the model; nil for an account
	InFlightMax *int     `json:"in_flight_max"` // how many its workers take at once, where they were found busy
	LastRefusal *int64   `json:"last_refusal"`  // by the upstream
	Refusals    uint64   `json:"refusals"`      // by the upstream, since the start
	Charged     uint64   `json:"charged"`       // slots taken since the start
}

// Window is one window of a limit.
type Window struct {
	Period     string `json:"period"`     // S, M, H, D, or a duration
	Limit      int    `json:"limit"`      // what is kept to
	Learned    bool   `json:"learned"`    // the size is what was learned; else what was told
	Configured *int   `json:"configured"` // what the settings say
	Used       int    `json:"used"`       // charges in it
	Resets     *int64 `json:"resets"`     // when it will be empty if nothing is added
}

// Request is one that has ended. Offsets are from its beginning.
type Request struct {
	ID           string    `json:"id"`            // as in X-Request-Id
	Class        string    `json:"class"`         // it was served in
	Agent        string    `json:"agent"`         // who asked
	Model        *string   `json:"model"`         // nil where it named none
	Provider     string    `json:"provider"`      // it went to
	Key          *string   `json:"key"`           // alias
	Path         string    `json:"path"`          // as the client wrote it
	Stream       bool      `json:"stream"`        // the client asked for an event stream
	Status       int       `json:"status"`        // the client got; 499 when it left
	Reason       *string   `json:"reason"`        // as in X-Sidecar-Reason
	Started      int64     `json:"started"`       // when it came
	QueuedMS     int64     `json:"queued_ms"`     // all waits together
	FirstByteMS  *int64    `json:"first_byte_ms"` // until the first byte of the answer; nil where there was none
	TotalMS      int64     `json:"total_ms"`      // until its end
	Attempts     []Attempt `json:"attempts"`      // in order; of many the first and the last eight
	InputTokens  *int64    `json:"input_tokens"`  // nil where the answer does not say
	OutputTokens *int64    `json:"output_tokens"` // nil where the answer does not say
}

// Attempt is one send of a request.
type Attempt struct {
	AtMS    int64  `json:"at_ms"`   // when it began
	TookMS  int64  `json:"took_ms"` // until its end
	Outcome string `json:"outcome"` // ok, or the class of what went wrong
}

// Provider is one upstream API.
type Provider struct {
	Name     string    `json:"name"`     // as in /{provider}/v1/
	URLHost  string    `json:"url_host"` // where it is
	Default  bool      `json:"default"`  // the one of /v1/
	Healthy  bool      `json:"healthy"`  // it can be reached, as far as its attempts show
	Paused   bool      `json:"paused"`   // its requests wait until somebody lets them go on
	Breaker  string    `json:"breaker"`  // closed, open or half_open
	Accounts []Account `json:"accounts"` // of the settings; empty where each client brings its own key
}

// Account is what a provider counts by.
type Account struct {
	Name string `json:"name"` // of the settings
	Keys []Key  `json:"keys"` // in the order of the settings
}

// Key is one credential, known by its alias alone.
type Key struct {
	Alias        string  `json:"alias"`         // shown in its place everywhere
	Healthy      bool    `json:"healthy"`       // it is in use
	BenchedUntil *int64  `json:"benched_until"` // when it is tried again; nil while it is in use
	Reason       *string `json:"reason"`        // why it is out of use
}

// Batch is a job of the Batch API. There is none yet.
type Batch struct{}

// Waiting is the answer of GET queue.
type Waiting struct {
	Waiting []Waiter `json:"waiting"` // in order
}

// Steering is the answer of GET and PATCH settings.
type Steering struct {
	Version  int            `json:"version"`   // rises with each change
	Settings map[string]any `json:"settings"`  // those that may change, as in the settings file
	Schema   map[string]any `json:"schema"`    // JSON schema of just these
	Changed  []Change       `json:"changed"`   // the newest first
	File     File           `json:"file"`      // what became of the settings file
	ReadOnly bool           `json:"read_only"` // nothing can be changed any more: the process stops
}

// Change says who changed what.
type Change struct {
	At   int64    `json:"at"`   // when
	By   string   `json:"by"`   // the address of who sent it, or file
	Keys []string `json:"keys"` // the settings, such as queue.max_wait
}

// File is what became of the settings file.
type File struct {
	PathKnown bool    `json:"path_known"` // there is one
	Error     *string `json:"error"`      // why it was not taken over when it was last read
	Read      *int64  `json:"read"`       // when it was last taken over
}
