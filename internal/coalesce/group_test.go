package coalesce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// everything is rules that name all that these tests ask for.
func everything() Rules {
	return Rules{Models: []string{"*"}, Paths: []string{"/chat/completions", "/embeddings"}}
}

// options switch everything on.
func options() Options {
	return Options{Coalesce: everything(), Cache: everything(), MaxBytes: 1 << 20, MaxAge: time.Minute}
}

// embedding is a request for the vectors of a text.
func embedding(text string) *Request {
	return &Request{Provider: "p", Method: http.MethodPost, Path: "/embeddings", Body: fmt.Appendf(nil, `{"input":%q}`, text)}
}

// jsonHeader is the header of an answer.
func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Set-Cookie": {"a=b"}}
}

// isReady reports whether a seat knows what to do.
func isReady(s *Seat) bool {
	select {
	case <-s.Ready():
		return true
	default:
		return false
	}
}

// wantLead fails the test unless the seat must make its call.
func wantLead(t *testing.T, name string, s *Seat, mark Mark) {
	t.Helper()
	if !isReady(s) || s.Answer() != nil || s.Mark() != mark {
		t.Fatalf("%s: ready %t, answer %v, mark %q; want it to make the call, mark %q", name, isReady(s), s.answer, s.mark, mark)
	}
}

// wantAnswer fails the test unless the seat has this answer.
func wantAnswer(t *testing.T, name string, s *Seat, mark Mark, body string) {
	t.Helper()
	if !isReady(s) || s.Answer() == nil || s.Mark() != mark || string(s.Answer().Body) != body {
		t.Fatalf("%s: ready %t, answer %v, mark %q; want the answer %q, mark %q", name, isReady(s), s.answer, s.mark, body, mark)
	}
}

// wantWait fails the test if the seat is ready.
func wantWait(t *testing.T, name string, s *Seat) {
	t.Helper()
	if isReady(s) {
		t.Fatalf("%s is ready, mark %q; want it to wait", name, s.mark)
	}
}

func TestFollowersGetTheLeadersAnswerAndLaterOnesTheKeptOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(options())
		first, second := g.Join(embedding("x")), g.Join(embedding("x"))
		other := g.Join(embedding("y"))
		wantLead(t, "first", first, Miss)
		wantWait(t, "second", second)
		wantLead(t, "another request", other, Miss)
		if got, want := g.View(), (View{Calls: 2, Waiting: 1}); got != want {
			t.Errorf("View() = %+v; want %+v", got, want)
		}

		first.Record([]byte(`{"a":`))
		wantWait(t, "second", second)
		first.Record([]byte(`1}`))
		first.Finish(http.StatusOK, jsonHeader())
		wantAnswer(t, "second", second, Coalesced, `{"a":1}`)
		third := g.Join(embedding("x"))
		wantAnswer(t, "third", third, Hit, `{"a":1}`)
		if a := third.Answer(); a.Status != http.StatusOK || a.Header.Get("Set-Cookie") != "" || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the answer is %d with %v; want 200 with its Content-Type alone", a.Status, a.Header)
		}
		for _, s := range []*Seat{first, second, third, other} {
			s.Leave()
			s.Leave()
		}
		if got, want := g.View(), (View{Answers: 1, Bytes: third.Answer().size()}); got != want {
			t.Errorf("View() = %+v; want %+v", got, want)
		}

		time.Sleep(time.Minute - time.Nanosecond)
		wantAnswer(t, "in the last moment", g.Join(embedding("x")), Hit, `{"a":1}`)
		time.Sleep(time.Nanosecond)
		wantLead(t, "after a minute", g.Join(embedding("x")), Miss)
	})
}

func TestWhatHasNoPartGetsANilSeat(t *testing.T) {
	t.Parallel()
	get, private, chat, other := embedding("x"), embedding("x"), embedding("x"), embedding("x")
	get.Method = http.MethodGet
	private.Header = http.Header{"Cache-Control": {"no-store"}}
	chat.Path = "/chat/completions"
	other.Path = "/other"
	form := embedding("x")
	form.Body = []byte("--boundary\r\n")
	g := New(options())
	for name, s := range map[string]*Seat{
		"GET": g.Join(get), "no-store": g.Join(private), "temperature 1": g.Join(chat), "path that is not named": g.Join(other),
		"form": g.Join(form), "no group": (*Group)(nil).Join(embedding("x")), "zero options": New(Options{}).Join(embedding("x")),
	} {
		if s != nil {
			t.Errorf("%s: Join = a seat; want nil", name)
		}
		s.Record([]byte("x"))
		s.Finish(http.StatusOK, nil)
		s.Leave()
		if s.Ready() != nil || s.Answer() != nil || s.Mark() != Bypass {
			t.Errorf("%s: a nil seat has mark %q and answer %v; want bypass and none", name, s.Mark(), s.Answer())
		}
	}
	if got := (*Group)(nil).View(); got != (View{}) {
		t.Errorf("View() of nil = %+v; want the zero View", got)
	}
}

func TestAFreshAnswerTakesThePlaceOfTheKeptOne(t *testing.T) {
	t.Parallel()
	g := New(options())
	fresh := embedding("x")
	fresh.Header = http.Header{"Cache-Control": {"no-cache"}}
	for i, r := range []*Request{embedding("x"), fresh} {
		s := g.Join(r)
		wantLead(t, "caller", s, []Mark{Miss, Bypass}[i])
		s.Record([]byte{byte('0' + i)})
		s.Finish(http.StatusOK, jsonHeader())
	}
	wantAnswer(t, "next", g.Join(embedding("x")), Hit, "1")
}

func TestClientsShareOnlyIfTheyMay(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		o := options()
		o.ShareClients = shared
		g := New(o)
		ask := func(client, credential string, ourKey bool) *Seat {
			r := embedding("x")
			r.Client, r.OurKey, r.Header = client, ourKey, http.Header{"Authorization": {credential}}
			return g.Join(r)
		}
		s := ask("alice", "a", true)
		s.Finish(http.StatusOK, jsonHeader())
		if got := ask("bob", "b", true).Answer() != nil; got != shared {
			t.Errorf("shared %t: bob gets alice's answer: %t; want %t", shared, got, shared)
		}
		s = ask("alice", "a", false)
		s.Finish(http.StatusOK, jsonHeader())
		if got := ask("alice", "b", false).Answer(); got != nil {
			t.Errorf("shared %t: an answer for another upstream credential; want none", shared)
		}
	}
}

func TestClassesDoNotWaitForEachOtherButShareWhatIsKept(t *testing.T) {
	t.Parallel()
	g := New(options())
	urgent := embedding("x")
	urgent.Class = 0
	low := embedding("x")
	low.Class = 3
	leads := g.Join(low)
	wantLead(t, "low", leads, Miss)
	wantLead(t, "urgent", g.Join(urgent), Miss)
	leads.Finish(http.StatusOK, jsonHeader())
	wantAnswer(t, "urgent", g.Join(urgent), Hit, "")
}

func TestEachServiceWorksWithoutTheOther(t *testing.T) {
	t.Parallel()
	noCache, noFlight := options(), options()
	noCache.Cache, noFlight.Coalesce = Rules{}, Rules{}

	g := New(noCache)
	first, second := g.Join(embedding("x")), g.Join(embedding("x"))
	first.Finish(http.StatusOK, jsonHeader())
	wantAnswer(t, "second", second, Coalesced, "")
	wantLead(t, "third without a cache", g.Join(embedding("x")), Miss)

	g = New(noFlight)
	first, second = g.Join(embedding("x")), g.Join(embedding("x"))
	wantLead(t, "second without coalescing", second, Miss)
	first.Finish(http.StatusOK, jsonHeader())
	wantAnswer(t, "third", g.Join(embedding("x")), Hit, "")
}

func TestALeaderThatLeavesHandsTheCallToWhoWaitedLongest(t *testing.T) {
	t.Parallel()
	g := New(options())
	seats := make([]*Seat, 4)
	for i := range seats {
		seats[i] = g.Join(embedding("x"))
	}
	seats[0].Record([]byte("half of an ans"))
	seats[1].Leave() // it waits no longer, and nobody notices
	wantWait(t, "third", seats[2])
	seats[0].Leave()
	wantLead(t, "third", seats[2], Miss)
	wantWait(t, "fourth", seats[3])
	seats[2].Record([]byte("answer"))
	seats[2].Finish(http.StatusOK, jsonHeader())
	wantAnswer(t, "fourth", seats[3], Coalesced, "answer")
}

func TestWhoIsGivenTheCallWhileLeavingHandsItOn(t *testing.T) {
	t.Parallel()
	g := New(options())
	first, second, third := g.Join(embedding("x")), g.Join(embedding("x")), g.Join(embedding("x"))
	first.Leave()
	second.Leave() // it had left before it could see that it leads
	wantLead(t, "third", third, Miss)
	third.Leave()
	if got := g.View(); got != (View{}) {
		t.Errorf("View() = %+v; want nothing", got)
	}
}

func TestWhichAnswersAreShared(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status       int
		body         string
		shared, kept bool
	}{
		{200, `{"a":1}`, true, true},
		{200, `{"error":{}}`, false, false},
		{202, `{}`, false, false},
		{400, `{"error":{}}`, true, false},
		{401, `{}`, false, false},
		{403, `{}`, false, false},
		{404, `{}`, true, false},
		{408, `{}`, false, false},
		{422, `{}`, true, false},
		{429, `{}`, false, false},
		{500, `{}`, false, false},
		{503, `{}`, false, false},
	} {
		g := New(options())
		leader, follower := g.Join(embedding("x")), g.Join(embedding("x"))
		leader.Record([]byte(test.body))
		leader.Finish(test.status, jsonHeader())
		if !isReady(follower) {
			t.Fatalf("%d %s: the follower waits; want it ready", test.status, test.body)
		}
		if got := follower.Answer() != nil; got != test.shared {
			t.Errorf("%d %s is shared: %t; want %t", test.status, test.body, got, test.shared)
		}
		follower.Leave()
		if got := g.Join(embedding("x")).Answer() != nil; got != test.kept {
			t.Errorf("%d %s is kept: %t; want %t", test.status, test.body, got, test.kept)
		}
	}
}

func TestAfterTwoFailedCallsEachGoesAlone(t *testing.T) {
	t.Parallel()
	g := New(options())
	seats := make([]*Seat, 5)
	for i := range seats {
		seats[i] = g.Join(embedding("x"))
	}
	seats[0].Finish(http.StatusBadGateway, nil)
	wantLead(t, "second", seats[1], Miss)
	wantWait(t, "third", seats[2])
	seats[1].Finish(http.StatusBadGateway, nil)
	for i, s := range seats[2:] {
		wantLead(t, fmt.Sprintf("number %d after that", i), s, Miss)
	}
	for _, s := range seats[2:] {
		s.Finish(http.StatusBadGateway, nil)
		s.Leave()
	}
	if got := g.View(); got != (View{}) {
		t.Errorf("View() = %+v; want nothing", got)
	}
}

func TestAnAnswerThatIsTooLongIsNobodyElses(t *testing.T) {
	t.Parallel()
	o := options()
	o.MaxAnswer = 10
	g := New(o)
	leader, follower := g.Join(embedding("x")), g.Join(embedding("x"))
	leader.Record([]byte("0123456789"))
	wantWait(t, "follower", follower)
	leader.Record([]byte("x"))
	wantLead(t, "follower", follower, Miss)
	leader.Record([]byte("more"))
	leader.Finish(http.StatusOK, jsonHeader())
	if got := g.View(); got != (View{}) {
		t.Errorf("View() = %+v; want nothing", got)
	}
}

func TestAllRecordingsTogetherAreBounded(t *testing.T) {
	t.Parallel()
	o := options()
	o.MaxAnswer = 1 << 10
	g := New(o)
	seats := make([]*Seat, 3*recordings)
	for i := range seats {
		seats[i] = g.Join(embedding(fmt.Sprint(i)))
		seats[i].Record(make([]byte, o.MaxAnswer))
		if got := g.View().Recorded; got > recordings*o.MaxAnswer {
			t.Fatalf("%d recordings take %d bytes; want at most %d", i+1, got, recordings*o.MaxAnswer)
		}
	}
	for _, s := range seats {
		s.Finish(http.StatusOK, http.Header{})
	}
	if got := g.View(); got.Answers != recordings || got.Recorded != 0 || got.Calls != 0 {
		t.Errorf("View() = %+v; want the first %d answers and no recording", got, recordings)
	}
}

func TestAnAnswerHasMemoryOfItsOwnAndNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	g := New(options())
	s, chunk := g.Join(embedding("x")), []byte("answer")
	s.Record(chunk)
	clear(chunk)
	s.Finish(http.StatusOK, jsonHeader())
	next := g.Join(embedding("x"))
	wantAnswer(t, "next", next, Hit, "answer")
	if got := cap(next.Answer().Body); got != len("answer") {
		t.Errorf("the body takes %d bytes; want %d", got, len("answer"))
	}
}

// mob is a thousand requests of which all ask the same, in a bubble.
type mob struct {
	group   *Group
	alive   atomic.Int32 // calls under way
	calls   atomic.Int32 // of all times
	answers atomic.Int32
	left    atomic.Int32
}

// ask is one request, whose client leaves after patience and whose call, if it comes to that, ends after a while in some way: mostly by
// dying.
func (m *mob) ask(t *testing.T, random *rand.Rand) {
	patience, takes, fate := time.Duration(random.IntN(2000))*time.Millisecond, time.Duration(random.IntN(20))*time.Millisecond, random.IntN(100)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seat := m.group.Join(embedding("x"))
	defer seat.Leave()
	select {
	case <-seat.Ready():
	case <-ctx.Done():
		m.left.Add(1)
		return
	}
	if a := seat.Answer(); a != nil {
		if string(a.Body) != "answer" {
			t.Errorf("the answer is %q; want answer", a.Body)
		}
		m.answers.Add(1)
		return
	}
	m.calls.Add(1)
	if n := m.alive.Add(1); n != 1 {
		t.Errorf("%d calls are under way; want 1", n)
	}
	seat.Record([]byte("ans"))
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	m.alive.Add(-1)                    // before the next one may begin
	if ctx.Err() != nil || fate < 98 { // such as its own deadline
		m.left.Add(1)
		return
	}
	seat.Record([]byte("wer"))
	seat.Finish(http.StatusOK, jsonHeader())
	m.answers.Add(1)
}

func TestAThousandFollowersWhoseLeadersDie(t *testing.T) {
	t.Parallel()
	const clients = 1000
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			o := options()
			o.Cache = Rules{} // a call ends the company, and the rest begins anew
			m := mob{group: New(o)}
			var all sync.WaitGroup
			for i := range uint64(clients) {
				all.Go(func() {
					random := rand.New(rand.NewPCG(seed, i))
					time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
					m.ask(t, random)
				})
			}
			all.Wait()
			if got := m.answers.Load() + m.left.Load(); got != clients {
				t.Errorf("seed %d: %d requests ended; want %d", seed, got, clients)
			}
			if m.calls.Load() < 20 || m.answers.Load() < clients/10 {
				t.Errorf("seed %d: %d calls, %d answers; want a test that tries something", seed, m.calls.Load(), m.answers.Load())
			}
			if got := m.group.View(); got != (View{}) {
				t.Errorf("seed %d: View() = %+v; want nothing left", seed, got)
			}
		})
	}
}

func TestAStampedeUnderRealConcurrency(t *testing.T) {
	t.Parallel()
	g := New(options())
	var all sync.WaitGroup
	var calls atomic.Int32
	for i := range 1000 {
		all.Go(func() {
			s := g.Join(embedding(strings.Repeat("x", i%3)))
			defer s.Leave()
			if i%7 == 0 {
				return // gone before it knew
			}
			<-s.Ready()
			if a := s.Answer(); a != nil {
				if string(a.Body) != "answer" {
					t.Errorf("the answer is %q; want answer", a.Body)
				}
				return
			}
			if i%2 == 0 {
				return
			}
			calls.Add(1)
			s.Record([]byte("answer"))
			s.Finish(http.StatusOK, jsonHeader())
		})
	}
	all.Wait()
	if got := calls.Load(); got != 3 {
		t.Errorf("%d calls were made to their end; want 3, one for each request", got)
	}
	if got := g.View(); got.Answers != 3 || got.Calls != 0 || got.Waiting != 0 || got.Recorded != 0 {
		t.Errorf("View() = %+v; want three answers and nothing else", got)
	}
}
