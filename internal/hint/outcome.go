// Package hint is what an upstream's answer says: its Outcome, and every limit header and body that providers are known to send.
//
// An answer is classified once, where it enters, by Classify; everything after that reads the Outcome. The rules are a table
// (rules.go), written from what NVIDIA's gateway is known to answer and from the dialects of other providers.
//
// What an answer says about limits becomes Signs: from the headers of a provider's dialect (dialect.go, headers.go), from those of
// the IETF's draft (ietf.go), and from the body of a refusal (explain.go). They are evidence for whoever paces, never a command.
package hint

import "time"

// Class is what an attempt's result means. Only Quota speaks of the pace.
type Class uint8

// The classes of an outcome.
const (
	OK              Class = iota // the upstream did what was asked
	Quota                        // refused: the account's allowance for this model is spent
	QueueFull                    // the model's own work queue is full, whoever asks
	WorkerExhausted              // all workers of the model are busy, whoever asks
	NoWorker                     // accepted, but no worker took the job in time
	Degraded                     // the model is not served for the moment
	Inactive                     // the model has no active version now and may come back
	Offline                      // the model is taken offline for hours
	Gone                         // the model has reached its end of life
	NotEntitled                  // this account may not use the model
	UnknownModel                 // no such model or path
	KeyDead                      // the credential is not valid
	Forbidden                    // refused by a filter that is not about the key
	Credits                      // the account has no credits
	Transient                    // overloaded or unreachable for the moment
	UpstreamError                // the upstream broke on this request
	ClientError                  // the request itself is wrong
	InProgress                   // 202: a worker holds the job and the poll time is over
	Broken                       // no complete HTTP answer came: see Outcome.Fault
	Cancelled                    // we ended the attempt: the client left or the sidecar stops
	classCount
)

// classNames are the words of logs and metrics.
var classNames = [classCount]string{
	"ok", "quota", "queue_full_upstream", "worker_exhausted", "no_worker", "degraded", "inactive", "offline", "gone", "not_entitled",
	"unknown_model_or_path", "key_dead", "forbidden", "credits", "transient", "upstream_error", "client_error", "in_progress", "broken",
	"cancelled",
}

// ClassCount is the number of classes, for tables indexed by Class.
const ClassCount = int(classCount)

// String returns the word of logs and metrics, such as worker_exhausted.
func (c Class) String() string {
	if c < classCount {
		return classNames[c]
	}
	return "unknown"
}

// Fault says how an attempt broke that gave no complete HTTP answer. The words are the closed list that
// sidecar_upstream_errors_total uses where there is no status.
type Fault string

// The faults.
const (
	FaultConnect     Fault = "connect"      // the connection was refused or timed out
	FaultDNS         Fault = "dns"          // the name did not resolve
	FaultTLS         Fault = "tls"          // the TLS handshake failed
	FaultReset       Fault = "reset"        // the connection broke inside the answer
	FaultNoResponse  Fault = "no_response"  // the connection ended before any byte of an answer
	FaultShortBody   Fault = "short_body"   // the body ended before its announced length
	FaultHeadTimeout Fault = "head_timeout" // no head within head_timeout
	FaultIdle        Fault = "idle"         // silence inside a body for stream_idle_timeout
	FaultProtocol    Fault = "protocol"     // what came was not HTTP, or its head was over the limit
)

// Outcome is an attempt's classified result. The zero value is a success of unknown status. It is a value: copy it freely, but do
// not change its Signs.
type Outcome struct {
	Class  Class
	Status int    // the HTTP status; 0 when there was no answer
	Fault  Fault  // set exactly when Class is Broken
	ReqID  string // nvcf-reqid, when the gateway had got past its limiter and queue

	// RetryAfter is how long the upstream asks to wait, at most MaxRetryAfter, and Asked whether it asked at all: zero may be asked
	// for. An ordinary answer is not asked.
	RetryAfter time.Duration
	Asked      bool

	// Signs is what the answer says about limits, whatever its class: at most MaxSigns, nil for nothing.
	Signs []Sign
}

// Refused reports whether the upstream answered that the allowance is spent: the only outcome that moves the pace.
func (o Outcome) Refused() bool { return o.Class == Quota }

// Exhausted returns the sign that explains a refusal: the one that the answer names as its reason, else the longest of those with
// nothing left. ok is false where the answer is no refusal, or does not say by which limit.
func (o Outcome) Exhausted() (s Sign, ok bool) {
	if !o.Refused() {
		return Sign{}, false
	}
	for _, sign := range o.Signs {
		if sign.spent() && (!ok || sign.outweighs(s)) {
			s, ok = sign, true
		}
	}
	return s, ok
}

// Failed returns the outcome of an attempt that broke without a complete HTTP answer.
func Failed(f Fault) Outcome { return Outcome{Class: Broken, Fault: f} }
