package sim

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock"
)

func TestAStopLosesNothingThatWasPromised(t *testing.T) {
	bubble(t, Setup{
		Mock: mock.Options{Limiter: "none", Chunks: 5, ChunkGap: 2 * time.Second},
		Env:  []string{"SIDECAR_LIMITS=2-M"},
	}, func(t *testing.T, l *Lab) {
		streams := make(chan Reply, 2)
		for range 2 {
			go func() { streams <- l.Chat("m/a", true) }()
		}
		synctest.Wait()
		waiting := queued(l, 3)
		time.Sleep(time.Second)
		l.Terminate()
		synctest.Wait()

		for _, r := range waiting() {
			if r.Status != http.StatusServiceUnavailable || r.Header.Get("X-Sidecar-Reason") != "draining" ||
				r.Header.Get("Retry-After") != "1" || r.Header.Get("X-Should-Retry") != "true" || r.Took != time.Second {
				t.Errorf("a waiting request = %d %v after %s; want 503 draining at the stop", r.Status, r.Header, r.Took)
			}
		}
		if r := l.Chat("m/a", false); r.Header.Get("X-Sidecar-Reason") != "draining" {
			t.Errorf("a new request = %d %q; want draining", r.Status, r.Header.Get("X-Sidecar-Reason"))
		}
		if r := l.Do(t.Context(), http.MethodGet, "/readyz", ""); r.Status != http.StatusServiceUnavailable {
			t.Errorf("/readyz = %d; want 503", r.Status)
		}
		if r := l.Do(t.Context(), http.MethodGet, "/livez", ""); r.Status != http.StatusOK {
			t.Errorf("/livez = %d; want 200", r.Status)
		}
		for range 2 {
			if r := <-streams; r.Err != nil || !strings.HasSuffix(r.Body, "data: [DONE]\n\n") {
				t.Errorf("a running stream = %q, error %v; want it whole", r.Body, r.Err)
			}
		}
		<-l.Stopped()
	})
}

func TestAStreamThatOutlastsTheStopIsCutAloud(t *testing.T) {
	bubble(t, Setup{
		Mock: mock.Options{Limiter: "none", Chunks: 100, ChunkGap: 10 * time.Second},
		Env:  []string{"SIDECAR_SHUTDOWN_TIMEOUT=30s"},
	}, func(t *testing.T, l *Lab) {
		stream := make(chan Reply, 1)
		go func() { stream <- l.Chat("m/a", true) }()
		time.Sleep(5 * time.Second)
		began := time.Now()
		l.Terminate()
		r := <-stream
		if r.Err == nil || !strings.Contains(r.Body, `"code":"draining"`) || strings.Contains(r.Body, "[DONE]") {
			t.Errorf("the stream = %q, error %v; want an error event and a cut", r.Body, r.Err)
		}
		<-l.Stopped()
		if got := time.Since(began); got < 30*time.Second || got > 32*time.Second {
			t.Errorf("the stop took %s; want its bound of 30s", got)
		}
	})
}

func TestTwoSidecarsRunInOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		labs := make([]*Lab, 2)
		for i := range labs {
			labs[i] = New(t, Setup{Env: []string{fmt.Sprintf("SIDECAR_LIMITS=%d-M", 10*(i+1))}})
			defer labs[i].Close()
		}
		for i, l := range labs {
			r := l.Chat("m/a", false)
			if want := fmt.Sprint(10 * (i + 1)); r.Status != http.StatusOK || r.Header.Get("X-Ratelimit-Limit-Requests") != want {
				t.Errorf("sidecar %d = %d with limit %q; want 200 with %s", i, r.Status, r.Header.Get("X-Ratelimit-Limit-Requests"), want)
			}
		}
	})
}

func TestUptimeIsTrueAtEveryScrape(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		for _, at := range []time.Duration{10, 100, 1000} {
			time.Sleep(at*time.Second - time.Since(epoch))
			if want := fmt.Sprintf("sidecar_uptime_seconds %d\n", at); !strings.Contains(l.Metrics(), want) {
				t.Errorf("the metrics lack %s", want)
			}
		}
	})
}

func TestReadinessFollowsTheUpstream(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		if r := l.Do(t.Context(), http.MethodGet, "/readyz", ""); r.Status != http.StatusOK {
			t.Errorf("/readyz = %d; want 200", r.Status)
		}
		_ = l.upstream.Close()
		time.Sleep(11 * time.Second) // a good result is believed for ten
		l.Do(t.Context(), http.MethodGet, "/readyz", "")
		time.Sleep(time.Second)
		if r := l.Do(t.Context(), http.MethodGet, "/readyz?verbose", ""); r.Status != http.StatusServiceUnavailable || !strings.Contains(r.Body, "upstream") {
			t.Errorf("/readyz?verbose with the upstream down = %d %q; want 503 that names it", r.Status, r.Body)
		}
		if r := l.Do(t.Context(), http.MethodGet, "/livez", ""); r.Status != http.StatusOK {
			t.Errorf("/livez = %d; want 200 whatever the upstream does", r.Status)
		}
		if n := l.Mock.Stats().Accepted; n != 0 {
			t.Errorf("readiness cost %d of the quota; want 0", n)
		}
	})
}

func TestWhatCostsNoQuotaIsRefusedWhileDraining(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Limiter: "none", Chunks: 5, ChunkGap: 2 * time.Second}}, func(t *testing.T, l *Lab) {
		stream := make(chan Reply, 1)
		go func() { stream <- l.Chat("m/a", true) }()
		time.Sleep(time.Second)
		if r := l.Do(t.Context(), http.MethodGet, "/v1/models", ""); r.Status != http.StatusOK {
			t.Errorf("before the stop = %d; want 200", r.Status)
		}
		l.Terminate()
		synctest.Wait()
		if r := l.Do(t.Context(), http.MethodGet, "/v1/models", ""); r.Status != http.StatusServiceUnavailable || r.Header.Get("X-Sidecar-Reason") != "draining" {
			t.Errorf("while draining = %d %q; want 503 draining", r.Status, r.Header.Get("X-Sidecar-Reason"))
		}
		<-stream
		<-l.Stopped()
	})
}

func TestAnUploadThatOutlastsTheStopIsNotItsClientsMistake(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_SHUTDOWN_TIMEOUT=5s"}}, func(t *testing.T, l *Lab) {
		conn, err := l.Net.DialContext(t.Context(), "tcp", proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
		synctest.Wait()
		l.Terminate()
		<-l.Stopped()
		if n := len(l.Log.Lines(`"msg":"request"`, `"reason":"draining"`, `"status":503`)); n != 1 {
			t.Errorf("%d log lines of the upload; want 1 with draining, before Run returns:\n%s", n, l.Log)
		}
	})
}
