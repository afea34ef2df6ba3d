package hint

// A rule maps answers to a class. Every condition that is set must hold.
type rule struct {
	why         string // what the answer tells, for a reader and for the tests
	class       Class
	status      []int    // the status is one of these ...
	from, below int      // ... or in this range; below 0 = no upper end
	says        []string // the body contains one of these
	opens       []string // the message in the body begins with one of these
	problem     bool     // Content-Type is problem+json
	queued      bool     // nvcf-reqid is there: past the gateway's limiter and queue
	empty       bool     // the body is empty
	long        bool     // Retry-After of an hour or more
}

// exhausted are the texts of a model whose workers are all busy.
var exhausted = []string{"ResourceExhausted", "Worker local total request limit", "All workers are busy", "temporarily overloaded"}

// rules are tried from the top; the first that fits decides, and the last one fits anything. They come from the public source of
// NVIDIA's gateway (NVIDIA/nvcf) and from users' reports; the texts are what these send, letter for letter. A client error's answer
// may quote the request, which may quote any text: there the message must begin as the upstream's own does.
var rules = []rule{
	{why: "workers are exhausted", class: WorkerExhausted, status: []int{429}, from: 500, says: exhausted},
	{why: "workers are exhausted, in an error event of a 200 stream", class: WorkerExhausted, from: 200, below: 300, says: exhausted},
	{why: "workers are exhausted, under a client error's status", class: WorkerExhausted, from: 400, below: 500, says: exhausted, opens: []string{
		"ResourceExhausted", "Worker local total request limit", "All workers are busy", "Service temporarily overloaded",
	}},
	{why: "overload of one model", class: WorkerExhausted, status: []int{529}},
	{why: "the work queue is full", class: QueueFull, status: []int{429}, says: []string{"maximum messages exceeded"}},
	{why: "a worker's own limit", class: QueueFull, status: []int{429}, queued: true},
	{why: "the limit of a provider behind a reseller", class: QueueFull, status: []int{429}, says: []string{"temporarily rate-limited upstream"}},
	{why: "no credits, by OpenAI's word for it", class: Credits, status: []int{429}, says: []string{"insufficient_quota"}},
	{why: "larger than the limit itself", class: ClientError, status: []int{429}, says: []string{"Request too large for"}, opens: []string{
		"Request too large for",
	}},
	{why: "an error event of a 200 stream that speaks of a rate limit", class: Quota, from: 200, below: 300, says: []string{
		"rate_limit", "Too Many Requests",
	}},
	{why: "quota", class: Quota, status: []int{429}},
	{why: "all versions are degraded", class: Degraded, status: []int{400}, says: []string{
		"DEGRADED function cannot be invoked",
	}, opens: []string{"Function id '", "Function '", "DEGRADED function"}},
	{why: "taken offline", class: Offline, status: []int{503}, problem: true, long: true},
	{why: "end of life", class: Gone, status: []int{410}},
	{why: "listed, but not for this account", class: NotEntitled, status: []int{404}, problem: true, says: []string{"Not found for account"}},
	{why: "not shared with the account", class: NotEntitled, status: []int{403}, says: []string{
		"Not shared with the account", "Missing resource entry",
	}},
	{why: "no active version", class: Inactive, status: []int{404}, problem: true, says: []string{"is not found"}},
	{why: "unknown model or path", class: UnknownModel, status: []int{404}},
	{why: "credits expired", class: Credits, from: 500, says: []string{"Cloud credits expired"}},
	{why: "credits expired, under a client error's status", class: Credits, from: 400, below: 500, says: []string{
		"Cloud credits expired",
	}, opens: []string{"Account '", "Cloud credits expired"}},
	{why: "payment required", class: Credits, status: []int{402}},
	{why: "the key is refused", class: KeyDead, status: []int{401}},
	{why: "the key is not valid any more", class: KeyDead, status: []int{403}, says: []string{"Authorization failed"}},
	{why: "a filter in front", class: Forbidden, status: []int{403}},
	{why: "no worker took the job", class: NoWorker, status: []int{504}, queued: true, empty: true},
	{why: "gateway trouble", class: Transient, status: []int{408, 502, 503, 504}},
	{why: "a client's mistake that the gateway calls its own", class: ClientError, status: []int{500}, says: []string{
		"failed to decode json body", "payload size exceeds",
	}},
	{why: "the job goes on elsewhere", class: InProgress, status: []int{202}},
	{why: "an error event of a 200 stream", class: UpstreamError, from: 200, below: 300, says: []string{`"error"`}},
	{why: "the client's mistake", class: ClientError, from: 400, below: 500},
	{why: "any other server error", class: UpstreamError, from: 500},
	{why: "done", class: OK},
}
