package mock_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

// Each request breaks one rule of the gateway, and would break all those after it too if the order were another.
func TestTheGatewayChecksInTheRealOrderAndChargesNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{
		Limits: "1-D",
		Models: []string{"m"},
		Keys:   []string{"k", "tired"},
		ModelStates: map[string]string{
			"off": "offline", "old": "gone", "ill": "degraded", "idle": "inactive", "theirs": "not_entitled", "going": "deprecated",
		},
	})
	badPoll := "NVCF-POLL-SECONDS: soon"
	for _, tt := range []struct {
		name string
		ask  ask
		want string
	}{
		{"shadow header", ask{header: []string{"NVCF-Shadow: 1", "X-Priority: 1"}, path: "/x"}, "shadow_header"},
		{"priority header, even empty", ask{header: []string{"X-Priority: "}, path: "/x"}, "priority_header"},
		{"unknown path", ask{path: "/v1/audio/speech", body: "{"}, "not_found"},
		{"wrong method", ask{method: "GET", body: "{"}, "not_found"},
		{"broken JSON", ask{body: "{", key: "none"}, "bad_json"},
		{"model that is no text", ask{body: `{"model":7}`, key: "none"}, "bad_json"},
		{"no model", ask{body: `{"stream":true}`, key: "none"}, "no_model"},
		{"empty model", ask{body: `{"model":""}`, key: "none"}, "no_model"},
		{"unknown model", ask{model: "x", key: "none"}, "not_found"},
		{"offline", ask{model: "off", key: "none"}, "offline"},
		{"gone", ask{model: "old", key: "none"}, "gone"},
		{"no credential", ask{key: "none", model: "ill"}, "no_credential"},
		{"no bearer", ask{key: "none", header: []string{"Authorization: Basic azo="}, model: "ill"}, "bad_header"},
		{"empty bearer", ask{key: "none", header: []string{"Authorization: Bearer "}, model: "ill"}, "bad_header"},
		{"foreign key", ask{key: "stolen", model: "ill"}, "key_dead"},
		{"degraded", ask{model: "ill", header: []string{badPoll}}, "degraded"},
		{"inactive", ask{model: "idle", header: []string{badPoll}}, "inactive"},
		{"not entitled", ask{model: "theirs", header: []string{badPoll}}, "not_entitled"},
		{"poll time that is no number", ask{header: []string{badPoll}}, "bad_poll"},
		{"negative poll time", ask{header: []string{"NVCF-POLL-SECONDS: -1"}}, "bad_poll"},
		{"poll time of more than an hour", ask{header: []string{"NVCF-POLL-SECONDS: 3601"}}, "bad_poll"},
	} {
		before := len(s.Arrivals())
		rec := send(s, tt.ask)
		got := s.Arrivals()[before:]
		if len(got) != 1 || got[0].Verdict != tt.want || got[0].Charged {
			t.Errorf("%s: %d, %+v; want %s, not charged", tt.name, rec.Code, got, tt.want)
		}
	}
	if got := passed(t, s, 2, ask{header: []string{"NVCF-POLL-SECONDS: 3600"}}); got != 1 {
		t.Errorf("after all that %d of 2 passed 1-D; want 1: nothing before may have been charged", got)
	}
	if got := send(s, ask{model: "going"}).Header().Get("Deprecation"); got != "2099-01-01T00:00:00Z" {
		t.Errorf("Deprecation of a model that will end is %q; want its date", got)
	}
}

func TestTheFirstOfEqualMembersCounts(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Models: []string{"first"}})
	rec := send(s, ask{body: `{"model":"first","stream":false,"model":"second","stream":true}`})
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != js {
		t.Errorf("answer %d, %s; want 200 of the model first, not streamed", rec.Code, rec.Header().Get("Content-Type"))
	}
}

func TestABodyOfMoreThan25MiBIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	const limit = 25 << 20
	body := strings.Repeat("x", limit)
	if got := send(s, ask{body: body}).Code; got != http.StatusInternalServerError {
		t.Errorf("25 MiB of no JSON got %d; want 500: it was read", got)
	}
	if rec := send(s, ask{body: body + "x"}); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "below 26214400 bytes") {
		t.Errorf("a byte more got %d %s; want 400 and the limit", rec.Code, rec.Body)
	}
}

func TestAnUploadThatBreaksOffCostsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	r := httptest.NewRequest(http.MethodPost, chatPath, io.MultiReader(strings.NewReader(`{"model"`), brokenReader{}))
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if want := []string{"broken_upload"}; rec.Code != http.StatusBadRequest || !cmp.Equal(verdicts(s), want) || charges(s) != 0 {
		t.Errorf("answer %d, %v, %d charges; want 400, %v, none", rec.Code, verdicts(s), charges(s), want)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestModelsAreListedFreeAndWithoutAKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{
		Limits: "1-D", Models: []string{"nv/b", "a"}, ModelStates: map[string]string{"nv/old": "gone", "nv/off": "offline", "nv/not": "not_entitled"},
	})
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/v1/models", 200, `{"object":"list","data":[` +
			`{"id":"a","object":"model","created":735790403,"owned_by":"a"},` +
			`{"id":"nv/b","object":"model","created":735790403,"owned_by":"nv"},` +
			`{"id":"nv/not","object":"model","created":735790403,"owned_by":"nv"},` +
			`{"id":"nv/off","object":"model","created":735790403,"owned_by":"nv"},` +
			`{"id":"nv/old","object":"model","created":735790403,"owned_by":"nv"}],"X-Mock":"synthetic"}`},
		{"/v1/models/nv/b", 200, `{"id":"nv/b","object":"model","created":735790403,"owned_by":"nv"}`},
		{"/v1/models/nv/c", 404, "Model does not exist by the name of nv/c"},
		{"/v1/models/nv/old", 410, `{"type":"about:blank","title":"Gone","status":410,"detail":"The model 'nv/old' has reached its end of life on 2026-01-01T00:00:00Z and is no longer available."}`},
		{"/v1/models/nv/off", 503, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"This model is offline for maintenance."}`},
	} {
		rec := send(s, ask{method: "GET", path: tt.path, key: "none"})
		if rec.Code != tt.status || rec.Body.String() != tt.want {
			t.Errorf("GET %s = %d %s; want %d %s", tt.path, rec.Code, rec.Body, tt.status, tt.want)
		}
	}
	if got := charges(s); got != 0 {
		t.Errorf("listing cost %d; want nothing", got)
	}
	if got := s.Stats().Verdicts["listed"]; got != 5 {
		t.Errorf("%d arrivals were listed; want 5", got)
	}
}

func TestWithoutACatalogueAnyModelIsServedAndListed(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	if got := send(s, ask{model: "whatever/you-like"}).Code; got != http.StatusOK {
		t.Fatalf("an unknown model got %d; want 200", got)
	}
	body := send(s, ask{method: "GET", path: "/v1/models"}).Body.String()
	for _, id := range []string{`"whatever/you-like"`, `"mock/any"`} {
		if !strings.Contains(body, id) {
			t.Errorf("GET /v1/models = %s; want %s in it", body, id)
		}
	}
	if got := send(s, ask{model: strings.Repeat("x", 257)}).Code; got != http.StatusNotFound {
		t.Errorf("a name of 257 characters got %d; want 404", got)
	}
}

func TestAccountsAreShownByNameOrFingerprintNeverByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Accounts: map[string]string{"secret-1": "acme"}})
	send(s, ask{key: "secret-1"})
	send(s, ask{key: "secret-2"})
	got := s.Arrivals()
	if got[0].Account != "acme" || !strings.HasPrefix(got[1].Account, "key-") || strings.Contains(got[1].Account, "secret") {
		t.Errorf("accounts %q and %q; want acme and a fingerprint", got[0].Account, got[1].Account)
	}
}

func TestAHangUpAfterAdmissionStaysCharged(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Limits: "1-D", Service: 1 << 40})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := send(s, ask{ctx: ctx}); got.Body.Len() != 0 {
		t.Errorf("a client that had left got %s; want nothing", got.Body)
	}
	if got := s.Stats(); got.Aborted != 1 || got.Accepted != 1 || got.Scopes[0].Running != 0 {
		t.Errorf("Stats() = %+v; want one, accepted, aborted, and no more running", got)
	}
	if got := send(s, ask{}).Code; got != http.StatusTooManyRequests {
		t.Errorf("the next request got %d; want 429", got)
	}
}

// Whatever the body is, the gateway answers, and takes for JSON what is JSON.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m"}`, `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`, `{"model":null}`, `{"MODEL":"m"}`,
		`{"model":"m","tools":[{}],"tool_choice":{"function":{"name":"x"}},"messages":[null]}`, `{"model":"m","input":[[]]}`,
		`{"model":"m","input":[null],"dimensions":1e9}`, `[]`, `"m"`, ``, "\xff", strings.Repeat("[", 20_000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := newServer(t, mock.Options{Limiter: "none"})
		for _, path := range []string{chatPath, "/v1/completions", "/v1/embeddings"} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer k")
			s.ServeHTTP(rec, r)
			if !json.Valid([]byte(body)) && rec.Code != http.StatusInternalServerError {
				t.Errorf("POST %s %q = %d; want 500 for what is no JSON", path, body, rec.Code)
			}
			if got := rec.Code; got != 200 && got != 400 && got != 404 && got != 500 {
				t.Errorf("POST %s %q = %d; want 200, 400, 404 or 500", path, body, got)
			}
			if rec.Code == http.StatusOK && rec.Header().Get("Content-Type") == js && !json.Valid(rec.Body.Bytes()) {
				t.Errorf("POST %s %q answered %s; want JSON", path, body, rec.Body)
			}
		}
	})
}
