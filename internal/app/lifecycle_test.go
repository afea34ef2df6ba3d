package app

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestUndoRunsOnceNewestFirstAndGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	var order []string
	var undo undoStack
	for _, name := range []string{"first", "second", "third"} {
		undo.add(name, func() error {
			order = append(order, name)
			if name == "second" {
				return errors.New("boom")
			}
			return nil
		})
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	undo.run(logger)
	undo.run(logger)
	if want := []string{"third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("undone: %q; want %q", order, want)
	}
	if n := strings.Count(log.String(), "step=second error=boom"); n != 1 {
		t.Errorf("%d log lines of the failure; want 1: %s", n, &log)
	}
}

// isClosed reports whether a channel is closed by now.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestIdleIsClosedWhenTheLastRequestEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r running
		if !isClosed(r.idle()) {
			t.Error("idle() of nobody is open; want it closed")
		}
		release := make(chan struct{})
		handler := r.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		var requests sync.WaitGroup
		for range 3 {
			requests.Go(func() {
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
			})
		}
		synctest.Wait()
		one, two := r.idle(), r.idle()
		for range 2 {
			release <- struct{}{}
			synctest.Wait()
			if isClosed(one) {
				t.Fatal("idle() is closed while a request runs")
			}
		}
		release <- struct{}{}
		requests.Wait()
		if !isClosed(one) || !isClosed(two) || !isClosed(r.idle()) {
			t.Error("idle() is open after the last request; want it closed for everybody who asked")
		}
	})
}

func TestARequestThatPanicsDoesNotCountForEver(t *testing.T) {
	t.Parallel()
	var r running
	handler := r.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	func() {
		defer func() { _ = recover() }()
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	}()
	if !isClosed(r.idle()) {
		t.Error("idle() is open; want it closed")
	}
}

func TestConnectionsAreCountedFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	var c connections
	for _, tt := range []struct {
		state http.ConnState
		want  int
	}{
		{http.StateNew, 1},
		{http.StateActive, 1},
		{http.StateNew, 2},
		{http.StateIdle, 2},
		{http.StateClosed, 1},
		{http.StateHijacked, 0},
	} {
		c.count(nil, tt.state)
		if got := c.open.now(); got != tt.want {
			t.Errorf("after %s %d are open; want %d", tt.state, got, tt.want)
		}
	}
}

// BenchmarkRunning is what counting costs a request. Budget: 100 ns, no allocation.
func BenchmarkRunning(b *testing.B) {
	var r running
	handler := r.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	request := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	recorder := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(recorder, request)
	}
	if open := r.idle(); !isClosed(open) {
		b.Fatal("requests are left, after ", time.Now())
	}
}
