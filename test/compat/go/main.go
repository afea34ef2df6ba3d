// Command compat asks a sidecar through Go SDKs, for the suite that starts it: a call a line on its standard input, an outcome a line
// on its standard output. Calls run at the same time; it ends when its input does and all have been answered.
//
// go.mod has the newest version of each SDK; openai-3.8.1.mod, given by -modfile, has a year-old openai-go that is widely vendored.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// call is what is asked, in the words of clients/index.mjs.
type call struct {
	URL     string            `json:"url"`
	Key     string            `json:"key"`
	Model   string            `json:"model"`
	Headers map[string]string `json:"headers"`
	Retries int               `json:"retries"`
	Timeout int               `json:"timeout"` // ms
	Image   string            `json:"image"`   // data URL
	Enough  int               `json:"enough"`

	kind string
	wire *wire
	out  *outcome
	stop context.CancelFunc
}

// outcome is what became of it.
type outcome struct {
	Text     string      `json:"text"`
	Finish   string      `json:"finish,omitempty"`
	Tool     *tool       `json:"tool,omitempty"`
	Usage    usage       `json:"usage"`
	Object   any         `json:"object,omitempty"`
	Vectors  [][]float64 `json:"vectors,omitempty"`
	Tokens   int64       `json:"tokens,omitempty"`
	Pieces   []string    `json:"pieces"`
	Finishes []string    `json:"finishes"`
	Error    *failure    `json:"error,omitempty"`
	Sent     []*request  `json:"sent"`
	Took     float64     `json:"took"` // ms
}

type tool struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

type usage struct {
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
}

type failure struct {
	Class   string `json:"class"`
	Status  int    `json:"status,omitempty"`
	Message string `json:"message"`
	Code    string `json:"code,omitempty"`
	Type    string `json:"type,omitempty"`
}

// An SDK is asked in these verbs; the first word of "tool stream" is in call.kind.
type sdk struct {
	verbs   map[string]func(context.Context, *call) error
	failure func(error) *failure // nil: not an error of the SDK's own
}

const question = "Say hello."

// finishes are the reasons to finish of all SDKs in one set of words.
var finishes = map[string]string{"stop": "stop", "end_turn": "stop", "tool_calls": "tool", "tool_use": "tool"}

var (
	weatherSchema = schema(map[string]any{"city": kind("string"), "degrees": kind("number")}, "city", "degrees")
	timeSchema    = schema(map[string]any{"zone": kind("string")}, "zone")
)

func kind(name string) map[string]any { return map[string]any{"type": name} }

func schema(properties map[string]any, required ...string) map[string]any {
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

const (
	timeTool = "get_time"
	about    = "the time in a zone"
)

var inputs = []string{"one", "two", "one"}

// seen takes down a piece of a stream, and hangs up when it is enough.
func (c *call) seen(text, finish string) {
	if text != "" {
		c.out.Pieces = append(c.out.Pieces, text)
	}
	if finish != "" {
		c.out.Finishes = append(c.out.Finishes, finishes[finish])
	}
	if c.Enough > 0 && len(c.out.Pieces) == c.Enough {
		c.stop()
	}
}

func main() {
	sdks := map[string]sdk{"openai": openAI(), "anthropic": anthropicSDK(), "go-openai": goOpenAI()}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 32<<20)
	var (
		calls sync.WaitGroup
		mu    sync.Mutex // guards the output
	)
	for lines.Scan() {
		var in struct {
			ID     float64 `json:"id"`
			Client string  `json:"client"`
			Verb   string  `json:"verb"`
			Call   *call   `json:"call"`
		}
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
			os.Exit(2)
		}
		calls.Go(func() {
			out := ask(sdks[in.Client], in.Verb, in.Call)
			mu.Lock()
			defer mu.Unlock()
			_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"id": in.ID, "outcome": out})
		})
	}
	calls.Wait()
}

func ask(s sdk, verb string, c *call) *outcome {
	c.out = &outcome{Pieces: []string{}, Finishes: []string{}, Sent: []*request{}}
	c.wire = &wire{}
	_, _ = fmt.Sscan(verb, &c.kind)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.stop = cancel
	began := time.Now()
	run, ok := s.verbs[verb]
	err := errors.New("the SDK has no " + verb)
	if ok {
		err = run(ctx, c)
	}
	if err != nil {
		if c.out.Error = s.failure(err); c.out.Error == nil {
			c.out.Error = &failure{Class: fmt.Sprintf("%T", err), Message: err.Error()}
		}
	}
	c.out.Took = float64(time.Since(began).Microseconds()) / 1000
	c.out.Sent = append(c.out.Sent, c.wire.taken()...)
	return c.out
}
