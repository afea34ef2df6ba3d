// Package config is flags, environment and file to one validated Config; prints the example, the schema and the reference.
//
// The struct [Config] is the only source. Its tags give each setting its key in the file, its environment variables, its flag, its
// default and its bounds; the comment of a field is the help that a user reads, on the command line as in docs/settings.md. So a
// new setting is one field, and go generate.
//
// Four layers are laid over each other, the later over the earlier: defaults, the YAML file, the environment, flags. What is set in
// a later layer wins even when it is zero. Nothing is guessed or skipped: a key, a value or a combination that cannot be is an error
// that names the file, line and column, or the variable, or the flag; the value, unless it is secret; and what is allowed. All errors are
// reported at once.
//
// The tags: yaml is the key; env the variables, the first of which names the setting and its flag, and each of a secret also exists
// with _FILE behind it; default and example are values as a user writes them; enum, min and max bound a value; form names a check of
// form.go.
package config

import (
	"net/url"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/secret"
)

//go:generate go test . -run ^TestGeneratedHelp -update
//go:generate go test . -run ^TestGenerated -update

// Config is all settings. Load makes one, and what it returns is valid. It is not changed afterwards, so it may be read concurrently.
type Config struct {
	// The YAML file that the settings below are read from.
	File string `env:"SIDECAR_CONFIG" example:"/etc/nim-sidecar/config.yaml"`

	// Where the proxy listens: `host:port`, `:port` for all interfaces, or `unix:/path` for a Unix socket.
	Listen string `yaml:"listen" env:"SIDECAR_LISTEN" default:"127.0.0.1:9190" form:"address"`
	// Where the metrics are served: `host:port`, `:port` for all interfaces, or `unix:/path` for a Unix socket.
	MetricsListen string `yaml:"metrics_listen" env:"SIDECAR_METRICS_LISTEN" default:"127.0.0.1:9191" form:"address"`
	// Whether HTTP/2 without TLS is spoken too.
	H2C bool `yaml:"h2c" env:"SIDECAR_H2C" default:"false"`
	// Whether a listener beyond loopback may start although no client needs a key. Then everybody who reaches it spends your quota.
	AllowOpen bool `yaml:"allow_open" env:"SIDECAR_ALLOW_OPEN" default:"false"`

	// The upstream APIs. `/v1/...` goes to the first, `/{name}/v1/...` to the one of that name.
	Providers []Provider `yaml:"providers"`
	// Names of models on `/v1/...` that lead to a model of a provider, and to others when that one cannot serve a request.
	Routes []Route `yaml:"routes"`
	// Who may send requests: none means everybody who reaches the listener. In the environment a comma list of `name:key`. A client's key never goes upstream.
	Clients []Client `yaml:"clients" env:"SIDECAR_CLIENT_KEYS" example:"alice:KEY1,bob:KEY2"`

	// Whether no request is admitted: those that wait and those that come are told to come again later. It is meant to be changed while running.
	Drain bool `yaml:"drain" env:"SIDECAR_DRAIN" default:"false"`

	// The waiting room.
	Queue Queue `yaml:"queue"`
	// Learning the upstream's true limit.
	Adaptive Adaptive `yaml:"adaptive"`
	// What keeps waiting clients alive.
	Heartbeat Heartbeat `yaml:"heartbeat"`
	// Identical deterministic requests that share one upstream call.
	Coalesce Coalesce `yaml:"coalesce"`
	// Exact answers that are kept for a while.
	Cache Cache `yaml:"cache"`
	// Who may look and change.
	Admin Admin `yaml:"admin"`
	// Several sidecars with one quota.
	Shared Shared `yaml:"shared"`

	// The directory for what outlives the process: learned limits, and what was sent of late, so that a restart neither exceeds a limit nor learns it anew. Without one, all state is in memory.
	StateDir string `yaml:"state_dir" env:"SIDECAR_STATE_DIR" example:"/var/lib/nim-sidecar"`
	// The largest request body: a larger one is answered 413. The hosted API itself takes no more than the default.
	MaxBody Size `yaml:"max_body" env:"SIDECAR_MAX_BODY" default:"25MB" min:"1KB" max:"1GB"`
	// How long running requests may go on after SIGTERM before they are cut.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" env:"SIDECAR_SHUTDOWN_TIMEOUT" default:"30s" min:"0s" max:"1h"`
	// What is logged.
	Log Log `yaml:"log"`

	// Warnings are sentences about what is odd but no error, such as an environment variable that looks like a setting and is none.
	Warnings []string

	origins map[string]origin // where each value came from, by its path; what is absent is a default
}

// Provider is one upstream API.
type Provider struct {
	// The provider's name in paths, metrics and logs: lower-case letters, digits and hyphens. Default: that of its preset, else `upstream`.
	Name string `yaml:"name" env:"SIDECAR_PROVIDER_NAME" example:"nvidia" form:"segment"`
	// Who it is: that settles its URL, what its keys are called in the environment (`GROQ_API_KEY`) and how they are sent, what it speaks and where learning starts, as far as nothing else is set. Default: guessed from the host of `url`, else from `name`.
	Preset string `yaml:"preset" env:"SIDECAR_PROVIDER_PRESET" example:"nvidia" enum:"nvidia,openai,anthropic,groq,mistral,openrouter,gemini,vllm,llama-cpp,ollama"`
	// The base URL of its API, up to and including `/v1`, or what stands in its place. Default: that of its preset.
	URL *url.URL `yaml:"url" env:"SIDECAR_UPSTREAM_URL" default:"https://integrate.api.nvidia.com/v1"`
	// Whose requests it understands as they are: OpenAI's, Anthropic's (`/v1/messages`), or both. Default: that of its preset, else `openai`.
	Speaks string `yaml:"speaks" env:"SIDECAR_SPEAKS" example:"openai" enum:"openai,anthropic,both"`
	// What the provider counts by. Several keys of one account share its limits; each account has limits of its own.
	Accounts []Account `yaml:"accounts"`

	// The limits of each account and model, all of which hold: `N-S`, `N-M`, `N-H`, `N-D` (requests a second, minute, hour, day), in a comma list. A promise: never exceeded. `none` is no limit.
	Limits limit.Rates `yaml:"limits" env:"SIDECAR_LIMITS" example:"40-M,1000-H"`
	// Where learning starts for each account and model where `limits` promises nothing; it may go up to four times that. Default: that of its preset, `40-M` for NVIDIA and `30-M` for Groq, else `none`: no limit until the first refusal, or until answers tell it.
	LimitsHint limit.Rates `yaml:"limits_hint" env:"SIDECAR_LIMITS_HINT" example:"40-M"`
	// The limits of each whole account, over all of its models; they hold besides `limits`.
	AccountLimits limit.Rates `yaml:"account_limits" env:"SIDECAR_ACCOUNT_LIMITS" example:"10000-D"`
	// How many requests may leave at once after an idle time: a number, or `auto`: learned, beginning with half of a window at a host of nvidia.com, else with 4.
	Burst Burst `yaml:"burst" env:"SIDECAR_BURST" default:"auto"`
	// Exact limits of each account and model, in the place of `limits` and `limits_hint`, while nothing is learned or probed. What was learned is kept for later.
	Pin limit.Rates `yaml:"pin" env:"SIDECAR_PIN" example:"30-M"`
	// Whether nothing is sent to the provider: what waits for it goes on waiting.
	Paused bool `yaml:"paused" env:"SIDECAR_PAUSED" default:"false"`

	// The longest time from a request to the first byte of its answer.
	HeadTimeout time.Duration `yaml:"head_timeout" env:"SIDECAR_HEAD_TIMEOUT" default:"10m" min:"1s" max:"24h"`
	// The longest silence inside an answer.
	StreamIdleTimeout time.Duration `yaml:"stream_idle_timeout" env:"SIDECAR_STREAM_IDLE_TIMEOUT" default:"5m" min:"1s" max:"24h"`

	// NVIDIA says that it is NVIDIA's gateway, which has headers and habits of its own. Load sets it.
	NVIDIA bool
	// APIKey says that its keys are sent as X-Api-Key, as Anthropic wants them. Load sets it.
	APIKey bool
	// BurstShare is the part of a window that may leave at once when Burst is automatic; 0 means that nothing is known. Load sets it.
	BurstShare float64
}

// Rates returns what paces each account and model of the provider: what is promised, else what is assumed.
func (p *Provider) Rates() limit.Rates {
	if len(p.Limits) > 0 {
		return p.Limits
	}
	return p.LimitsHint
}

// Account is what a provider counts by.
type Account struct {
	// The account's name, with which the aliases of its keys begin in headers and logs.
	Name string `yaml:"name" env:"SIDECAR_ACCOUNT_NAME" default:"default" form:"name"`
	// Its API keys: a comma list, or a list. Without any, each client's own Authorization goes upstream. `NVIDIA_API_KEY` and `NGC_API_KEY` do not replace keys that the file gives to a first provider beyond nvidia.com.
	Keys []secret.Text `yaml:"keys" env:"SIDECAR_API_KEYS,NVIDIA_API_KEY,NGC_API_KEY" example:"${NVIDIA_API_KEY}"`
}

// Route is a name of models that is no provider's own.
type Route struct {
	// The name that clients ask for. One `*` in it stands for any text; an exact name goes before one with a `*`, and of those the first that fits.
	Alias string `yaml:"alias" example:"fast" form:"alias"`
	// Where such a request goes, in order of preference. The next is tried when the one before has no budget within the request's deadline, or is down; not when it is merely busy.
	Targets []RouteTarget `yaml:"targets"`
	// How long a request may wait for a slot of one target. It goes on to the next at once where that would not be enough. `0s`: as long as its own deadline allows.
	FallbackAfter time.Duration `yaml:"fallback_after" default:"0s" min:"0s" max:"24h"`
}

// RouteTarget is where a route may lead.
type RouteTarget struct {
	// The name of one of the providers.
	Provider string `yaml:"provider" example:"nvidia" form:"segment"`
	// The model by its name there; the body is changed to it. A `*` repeats what the one in the alias stands for. Without one, the name that was asked for.
	Model string `yaml:"model" example:"meta/llama-3.1-8b-instruct" form:"alias"`
}

// Client is one who holds a key to the sidecar.
type Client struct {
	// The client's name: in logs, and for fairness between agents.
	Name string `yaml:"name" example:"alice" form:"name"`
	// What it sends as `Authorization: Bearer` or `x-api-key`.
	Key secret.Text `yaml:"key" example:"${ALICE_KEY}"`
	// The class of its requests that ask for none.
	Class *priority.Class `yaml:"class" example:"normal"`
	// The most urgent class that it may have, whatever it asks for.
	Highest *priority.Class `yaml:"highest" example:"high"`
	// The longest time that its requests wait, in the place of `queue.max_wait`.
	MaxWait time.Duration `yaml:"max_wait" example:"5m" min:"1ms" max:"24h"`
}

// Queue is the waiting room.
type Queue struct {
	// How many requests may wait.
	Capacity int `yaml:"capacity" env:"SIDECAR_QUEUE_CAPACITY" default:"1000" min:"1" max:"1000000"`
	// The longest time that a request waits; a client may ask for less.
	MaxWait time.Duration `yaml:"max_wait" env:"SIDECAR_MAX_WAIT" default:"15m" min:"1ms" max:"24h"`
	// What happens when the queue is full: `reject` refuses the least urgent, `passthrough` sends what comes without a slot, past the limits.
	Overflow Overflow `yaml:"overflow" env:"SIDECAR_OVERFLOW" default:"reject" enum:"reject,passthrough"`
	// How many bytes all held request bodies may have together.
	MaxBytes Size `yaml:"max_bytes" env:"SIDECAR_QUEUE_MAX_BYTES" default:"512MB" min:"1KB"`
}

// Overflow is what happens when the queue is full.
type Overflow string

// The values of Queue.Overflow.
const (
	OverflowReject      Overflow = "reject"
	OverflowPassthrough Overflow = "passthrough"
)

// Adaptive is about learning the upstream's true limit.
type Adaptive struct {
	// Whether the true limit is learned. `false`: exactly the given limits, nothing learned, nothing probed.
	Enabled bool `yaml:"enabled" env:"SIDECAR_ADAPTIVE" default:"true"`
}

// Heartbeat is what keeps waiting clients alive.
type Heartbeat struct {
	// What streams get while there is nothing else to send: `auto` what the client is known to bear, `comment` comments for everybody, `chunk` chunks without content for everybody, or `off`.
	Mode string `yaml:"mode" env:"SIDECAR_HEARTBEAT" default:"auto" enum:"auto,comment,chunk,off"`
	// What a client gets that waits for an answer that is no stream: `auto` interim answers (102 Processing) where it is known to bear them, `whitespace` a 200 and line feeds before the JSON, so that a later failure can be told in the body only, or `off`.
	Plain string `yaml:"plain" env:"SIDECAR_HEARTBEAT_PLAIN" default:"auto" enum:"auto,whitespace,off"`
	// The longest silence before a heartbeat.
	Interval time.Duration `yaml:"interval" env:"SIDECAR_HEARTBEAT_INTERVAL" default:"15s" min:"10s" max:"10m"`
	// How long a client may wait before the first heartbeat, which on a stream is its 200; an error before that keeps its own status.
	CommitAfter time.Duration `yaml:"commit_after" env:"SIDECAR_COMMIT_AFTER" default:"2s" min:"0s" max:"10m"`
}

// Admin says who may look and change.
type Admin struct {
	// What an administrator sends as `Authorization: Bearer` to change settings, and to see the dashboard from another machine. Without one only this machine may do either.
	Token secret.Text `yaml:"token" env:"SIDECAR_ADMIN_TOKEN" example:"${ADMIN_TOKEN}"`
	// Further names or IP addresses that the sidecar answers to, such as its service name in a compose file.
	AllowedHosts []string `yaml:"allowed_hosts" env:"SIDECAR_ALLOWED_HOSTS" example:"nim-sidecar" form:"host"`
	// Web origins whose pages may use the sidecar.
	AllowedOrigins []string `yaml:"allowed_origins" env:"SIDECAR_ALLOWED_ORIGINS" example:"https://chat.example" form:"origin"`
}

// Coalesce is about identical deterministic requests, which share one upstream call while it is under way.
type Coalesce struct {
	// The models whose identical deterministic requests share one upstream call: names, in which `*` stands for any text. None: no sharing.
	Models []string `yaml:"models" env:"SIDECAR_COALESCE_MODELS" example:"nvidia/*"`
	// The paths below `/v1` on which they do. Requests to paths that generate text must have `temperature` 0 and one answer that is not stored; those to all others that are named here count as deterministic.
	Paths []string `yaml:"paths" env:"SIDECAR_COALESCE_PATHS" default:"/embeddings,/chat/completions,/completions,/messages,/responses" form:"path"`
	// Whether clients with keys of their own get each other's answers, kept ones included. Where the clients' own credentials go upstream they never do.
	ShareClients bool `yaml:"share_clients" env:"SIDECAR_COALESCE_SHARE_CLIENTS" default:"false"`
	// The largest answer that is shared or kept.
	MaxAnswer Size `yaml:"max_answer" env:"SIDECAR_COALESCE_MAX_ANSWER" default:"8MB" min:"1KB" max:"256MB"`
}

// Cache is about exact answers to deterministic requests, which are kept in memory.
type Cache struct {
	// The models whose answers to deterministic requests are kept: names, in which `*` stands for any text. None: no cache.
	Models []string `yaml:"models" env:"SIDECAR_CACHE_MODELS" example:"nvidia/*embed*"`
	// The paths below `/v1` whose answers are kept; what counts as deterministic is as with `coalesce.paths`.
	Paths []string `yaml:"paths" env:"SIDECAR_CACHE_PATHS" default:"/embeddings,/chat/completions,/completions,/messages,/responses" form:"path"`
	// How many bytes all kept answers may have together; when there is no room, those go that were asked for least recently.
	MaxBytes Size `yaml:"max_bytes" env:"SIDECAR_CACHE_MAX_BYTES" default:"64MB" min:"1KB"`
	// How long an answer is kept.
	MaxAge time.Duration `yaml:"max_age" env:"SIDECAR_CACHE_MAX_AGE" default:"1h" min:"1s" max:"720h"`
}

// Shared is about several sidecars with one quota.
type Shared struct {
	// The Redis that the quota is shared through. This version cannot share yet and does not start when it is set.
	RedisURL secret.Text `yaml:"redis_url" env:"SIDECAR_REDIS_URL" example:"redis://redis:6379/0"`
}

// Log is what is logged.
type Log struct {
	// `json`, `text`, or `auto`: text on a terminal, else json.
	Format string `yaml:"format" env:"SIDECAR_LOG_FORMAT" default:"auto" enum:"auto,json,text"`
	// The least severe lines that are logged.
	Level string `yaml:"level" env:"SIDECAR_LOG_LEVEL" default:"info" enum:"debug,info,warn,error"`
}
