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
// form.go; later marks a setting that this version only accepts, and says as which value it acts.
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
	// Who may send requests: none means everybody who reaches the listener. In the environment a comma list of `name:key`. A client's key never goes upstream.
	Clients []Client `yaml:"clients" env:"SIDECAR_CLIENT_KEYS" example:"alice:KEY1,bob:KEY2"`

	// The waiting room.
	Queue Queue `yaml:"queue"`
	// Learning the upstream's true limit.
	Adaptive Adaptive `yaml:"adaptive"`
	// What keeps waiting streams alive.
	Heartbeat Heartbeat `yaml:"heartbeat"`
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
	// The provider's name in paths, metrics and logs: lower-case letters, digits and hyphens. Default: `nvidia` at a host of nvidia.com, else `upstream`.
	Name string `yaml:"name" env:"SIDECAR_PROVIDER_NAME" example:"nvidia" form:"segment"`
	// The base URL of its API, up to and including `/v1`. A provider with another name than `nvidia` must give one.
	URL *url.URL `yaml:"url" env:"SIDECAR_UPSTREAM_URL" default:"https://integrate.api.nvidia.com/v1"`
	// What the provider counts by. Several keys of one account share its limits; each account has limits of its own.
	Accounts []Account `yaml:"accounts"`

	// The limits of each account and model, all of which hold: `N-S`, `N-M`, `N-H`, `N-D` (requests a second, minute, hour, day), in a comma list. A promise: never exceeded. `none` is no limit.
	Limits limit.Rates `yaml:"limits" env:"SIDECAR_LIMITS" example:"40-M,1000-H"`
	// Where learning starts for each account and model where `limits` promises nothing; it may go up to four times that. Default: `40-M` at a host of nvidia.com, else `none`: no limit until the first refusal.
	LimitsHint limit.Rates `yaml:"limits_hint" env:"SIDECAR_LIMITS_HINT" example:"40-M"`
	// The limits of each whole account, over all of its models; they hold besides `limits`.
	AccountLimits limit.Rates `yaml:"account_limits" env:"SIDECAR_ACCOUNT_LIMITS" example:"10000-D"`
	// How many requests may leave at once after an idle time: a number, or `auto`: learned, beginning with half of a window at a host of nvidia.com, else with 4.
	Burst Burst `yaml:"burst" env:"SIDECAR_BURST" default:"auto"`

	// The longest time from a request to the first byte of its answer.
	HeadTimeout time.Duration `yaml:"head_timeout" env:"SIDECAR_HEAD_TIMEOUT" default:"10m" min:"1s" max:"24h"`
	// The longest silence inside an answer.
	StreamIdleTimeout time.Duration `yaml:"stream_idle_timeout" env:"SIDECAR_STREAM_IDLE_TIMEOUT" default:"5m" min:"1s" max:"24h"`

	// NVIDIA says that the URL is at a host of nvidia.com, whose gateway has headers and habits of its own. Load sets it.
	NVIDIA bool
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

// Heartbeat is what keeps waiting streams alive.
type Heartbeat struct {
	// Whether waiting streams get heartbeats: `auto` where the client is known to bear them, or `off`.
	Mode string `yaml:"mode" env:"SIDECAR_HEARTBEAT" default:"auto" enum:"auto,off" later:"off"`
	// The longest silence of a stream before a heartbeat.
	Interval time.Duration `yaml:"interval" env:"SIDECAR_HEARTBEAT_INTERVAL" default:"15s" min:"10s" max:"10m" later:"-"`
	// How long a stream may wait before its 200 is sent; an error before that keeps its own status.
	CommitAfter time.Duration `yaml:"commit_after" env:"SIDECAR_COMMIT_AFTER" default:"2s" min:"0s" max:"10m" later:"-"`
}

// Admin says who may look and change.
type Admin struct {
	// What an administrator sends. This version has nothing that asks for it.
	Token secret.Text `yaml:"token" env:"SIDECAR_ADMIN_TOKEN" example:"${ADMIN_TOKEN}"`
	// Further names or IP addresses that the sidecar answers to, such as its service name in a compose file.
	AllowedHosts []string `yaml:"allowed_hosts" env:"SIDECAR_ALLOWED_HOSTS" example:"nim-sidecar" form:"host"`
	// Web origins whose pages may use the sidecar.
	AllowedOrigins []string `yaml:"allowed_origins" env:"SIDECAR_ALLOWED_ORIGINS" example:"https://chat.example" form:"origin"`
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
