package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/secret"
)

// host is where the upstream of a bubble listens.
const host = "up.test:80"

// rig is a table before one upstream, in a bubble.
type rig struct {
	*Table
	t       *testing.T
	network *memnet.Network
}

// bubble runs test before an upstream that handles each connection with handle. At its end every goroutine and connection must be
// gone. p needs neither name nor URL.
func bubble(t *testing.T, p Provider, handle func(net.Conn), test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, network: new(memnet.Network)}
		l, err := r.network.Listen(host)
		if err != nil {
			t.Fatal(err)
		}
		stop := serve(l, handle)
		p.URL = parseURL(t, "http://"+host+"/v1")
		r.Table = newTable(t, p, r.network.DialContext)
		test(r)
		r.Close()
		stop()
		if open := r.network.Open(); open != 0 {
			t.Errorf("%d connections are left open", open)
		}
	})
}

// serve handles the connections of a listener. stop closes all of them and waits.
func serve(l net.Listener, handle func(net.Conn)) (stop func()) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	return func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}
}

// serveSocket does so on a real socket until the test ends.
func serveSocket(t testing.TB, handle func(net.Conn)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(serve(l, handle))
	return parseURL(t, "http://"+l.Addr().String()+"/v1")
}

// each handles a connection request by request. The body has been read; respond tells whether there may be another request.
func each(respond func(c net.Conn, r *http.Request, body string) bool) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || !respond(c, r, string(body)) {
				return
			}
		}
	}
}

// replies answers each request with the same bytes; then it closes the connection if once is set.
func replies(text string, once bool) func(net.Conn) {
	return each(func(c net.Conn, _ *http.Request, _ string) bool {
		_, err := io.WriteString(c, text)
		return err == nil && !once
	})
}

// hangs reads and never answers.
func hangs(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func parseURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// mustParse is parseURL for examples.
func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func newTable(t testing.TB, p Provider, dial func(context.Context, string, string) (net.Conn, error)) *Table {
	t.Helper()
	if p.Name == "" {
		p.Name = "up"
	}
	table, err := New(Options{Providers: []Provider{p}, DialContext: dial})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// attempt sends a request on the first lane.
func (t *Table) attemptFirst(ctx context.Context, r *Request) *Answer {
	return t.Attempt(ctx, t.Lanes(Target{t.Default(), "model"}, 0, r.Header)[0], r)
}

// post sends a body on the first lane.
func post(ctx context.Context, t *Table, body string) *Answer {
	return t.attemptFirst(ctx, &Request{Method: http.MethodPost, Path: "/chat/completions", Body: []byte(body)})
}

func (r *rig) post() *Answer { return post(r.t.Context(), r.Table, "hello") }

// expectWhole reads the answer to its end.
func expectWhole(t *testing.T, a *Answer, want string) {
	t.Helper()
	if got, err := io.ReadAll(a); string(got) != want || err != nil {
		t.Errorf("ReadAll = %q, %v; want %q (outcome %+v)", got, err, want, a.Outcome)
	}
}

// expectBroken reads the answer until it breaks.
func expectBroken(t *testing.T, a *Answer, prefix string, fault hint.Fault) {
	t.Helper()
	got, err := io.ReadAll(a)
	if broken, ok := err.(*BodyError); string(got) != prefix || !ok || broken.Fault != fault {
		t.Errorf("ReadAll = %q, %v; want %q and the fault %q", got, err, prefix, fault)
	}
}

// expectOutcome compares class and fault.
func expectOutcome(t *testing.T, a *Answer, class hint.Class, fault hint.Fault) {
	t.Helper()
	if a.Outcome.Class != class || a.Outcome.Fault != fault {
		t.Errorf("Outcome = %+v; want class %v, fault %q", a.Outcome, class, fault)
	}
}

// oneAccount is a provider's accounts with one key each, named by the account.
func accounts(names ...string) []Account {
	var all []Account
	for _, name := range names {
		all = append(all, Account{Name: name, Keys: []Key{{Alias: name + "-key", Secret: secret.New("secret-of-" + name)}}})
	}
	return all
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
