package top

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/sse"
)

// Client asks a running sidecar. Transport and Where are required. It is immutable and safe for concurrent use.
type Client struct {
	Transport http.RoundTripper // must lead to the sidecar, whatever host a URL names
	Where     string            // the sidecar's address, for people
	Token     string            // of its administrator; empty shows none. It is in no error
}

const (
	// answerTime is how long a snapshot may take: it is built without waiting for anything.
	answerTime = 5 * time.Second
	// silence is how long a stream may say nothing. The sidecar says at least every 15 s that it lives.
	silence = 20 * time.Second
	// retry is the pause before a stream is asked for again.
	retry = time.Second
	// longestAnswer is far more than a snapshot with all its lists full.
	longestAnswer = 8 << 20
)

// Snapshot returns the state now, as the sidecar wrote it, and read.
func (c *Client) Snapshot(ctx context.Context) (raw []byte, v *dash.View, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	body, err := c.get(ctx, "api/snapshot")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = body.Close() }()
	if raw, err = io.ReadAll(io.LimitReader(body, longestAnswer)); err != nil {
		return nil, nil, c.unreachable(err)
	}
	v, err = c.read(raw)
	return raw, v, err
}

// read reads a snapshot.
func (c *Client) read(raw []byte) (*dash.View, error) {
	v := new(dash.View)
	if err := json.Unmarshal(raw, v); err != nil || v.Seq == 0 {
		return nil, fmt.Errorf("what answers at %s is no sidecar of this version", c.Where)
	}
	return v, nil
}

// get returns the body of a path of the dashboard. The caller closes it.
func (c *Client) get(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+dash.Prefix+path, nil)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	answer, err := c.Transport.RoundTrip(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var said struct {
		Error struct{ Message string }
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&said); err != nil || said.Error.Message == "" {
		return nil, fmt.Errorf("what answers at %s is no sidecar: it says %d to %s", c.Where, answer.StatusCode, dash.Prefix+path)
	}
	return nil, fmt.Errorf("the sidecar at %s says %d: %s", c.Where, answer.StatusCode, Clean(said.Error.Message))
}

// unreachable says in a sentence that nobody answers.
func (c *Client) unreachable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it takes too long")
	}
	return fmt.Errorf("no sidecar answers at %s: %w", c.Where, err)
}

// news is a snapshot as it was sent, or why there is none.
type news struct {
	raw []byte
	err error
}

// follow reads the stream of snapshots until ctx ends. When it breaks it begins again after a pause, for as long as it takes. It tells of
// every snapshot and of every break.
func (c *Client) follow(ctx context.Context, tell func(news)) {
	for ctx.Err() == nil {
		err := c.stream(ctx, tell)
		if ctx.Err() != nil {
			return
		}
		tell(news{err: err})
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// stream reads one stream until it breaks.
func (c *Client) stream(ctx context.Context, tell func(news)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	deaf := time.AfterFunc(silence, cancel)
	defer deaf.Stop()
	body, err := c.get(ctx, "api/events")
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	splitter := sse.Splitter{Limit: longestAnswer}
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		deaf.Reset(silence)
		for e := range sse.Events(splitter.Feed(buffer[:n])) {
			if e.Name == "snapshot" {
				tell(news{raw: bytes.Clone(e.Data)})
			}
		}
		if err != nil {
			return c.unreachable(err)
		}
	}
}
