package mock

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// model is one model with its workers and what it says.
type model struct {
	name, state string
	workers     *pool
	chat, text  *script
}

// Bounds of a catalogue that takes any name.
const (
	maxModels    = 10_000
	maxModelName = 256
)

// catalogue is all models there are. It is safe for concurrent use.
type catalogue struct {
	options Options
	pieces  []string // what every model says
	any     bool     // any name is a model

	mu     sync.RWMutex // guards the following
	models map[string]*model
}

func newCatalogue(o Options) *catalogue {
	c := &catalogue{options: o, pieces: chunks(o.Chunks), any: len(o.Models) == 0, models: map[string]*model{}}
	names := slices.AppendSeq(slices.Clone(o.Models), maps.Keys(o.ModelStates))
	if c.any {
		names = append(names, sample)
	}
	for _, name := range names {
		c.models[name] = c.newModel(name, o.ModelStates[name])
	}
	return c
}

func (c *catalogue) newModel(name, state string) *model {
	return &model{
		name: name, state: state,
		workers: newPool(c.options),
		chat:    newScript(chatShape(), name, c.pieces),
		text:    newScript(textShape(), name, c.pieces),
	}
}

// model returns the model of a name, or nil if there is none.
func (c *catalogue) model(name string) *model {
	c.mu.RLock()
	m := c.models[name]
	c.mu.RUnlock()
	if m != nil || !c.any || len(name) > maxModelName {
		return m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.models[name] == nil && len(c.models) < maxModels {
		c.models[name] = c.newModel(name, "")
	}
	return c.models[name]
}

// sample is in the list even if any name is a model: something has to be there to choose from.
const sample = "mock/any"

// list returns the body of GET /v1/models. Like NVIDIA's, it lists models that do not work as well; unlike NVIDIA's, it says
// that it is synthetic.
func (c *catalogue) list() []byte {
	c.mu.RLock()
	ids := slices.Sorted(maps.Keys(c.models))
	c.mu.RUnlock()
	entries := make([]string, len(ids))
	for i, id := range ids {
		entries[i] = entry(id)
	}
	return []byte(`{"object":"list","data":[` + strings.Join(entries, ",") + `],"X-Mock":"synthetic"}`)
}

func entry(id string) string {
	owner, _, _ := strings.Cut(id, "/")
	return `{"id":` + quote(id) + `,"object":"model","created":` + created + `,"owned_by":` + quote(owner) + `}`
}

// list answers the GET routes, which need no key and cost nothing, and reports whether the call was for one.
func (s *Server) list(c *call) bool {
	path := c.r.URL.Path
	switch id, isModel := strings.CutPrefix(path, "/v1/models/"); {
	case path == "/v1/models":
		c.send(http.StatusOK, jsonBody, s.catalogue.list())
	case path == "/health", path == "/info":
		c.send(http.StatusOK, jsonBody, []byte(`{"status":"ok","X-Mock":"synthetic"}`))
	case isModel:
		s.describe(c, id)
	default:
		return false
	}
	return true
}

// describe answers GET /v1/models/{id}.
func (s *Server) describe(c *call, id string) {
	c.ask.Model.value = id
	switch refused := s.find(c); refused {
	case "":
		c.send(http.StatusOK, jsonBody, []byte(entry(id)))
	case "not_found":
		s.refuse(c, "no_such_model", nil)
	default:
		s.refuse(c, refused, nil)
	}
}
