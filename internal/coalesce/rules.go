package coalesce

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Rules say for which requests a service is switched on: those whose path and model are both named. The zero value names none. It is
// not changed after New has got it.
type Rules struct {
	// Models are names of models in which * stands for any text, so that * alone is every model.
	Models []string
	// Paths are paths below /v1, such as /embeddings. Every request to a path that is named here counts as repeatable, but for
	// those that generate text, where the body decides.
	Paths []string
}

// match reports whether the rules name the path and the model.
func (r Rules) match(path, model string) bool {
	return slices.Contains(r.Paths, path) && slices.ContainsFunc(r.Models, func(pattern string) bool { return matches(pattern, model) })
}

// matches reports whether text is what pattern says, in which * stands for any text.
func matches(pattern, text string) bool {
	part, rest, star := strings.Cut(pattern, "*")
	if !star {
		return text == pattern
	}
	text, found := strings.CutPrefix(text, part)
	for found {
		if part, rest, star = strings.Cut(rest, "*"); !star {
			return strings.HasSuffix(text, part)
		}
		_, text, found = strings.Cut(text, part)
	}
	return false
}

// path is what is known of the bodies of one path.
type path struct {
	generates bool     // the model is free to answer otherwise, unless its temperature is 0
	stores    bool     // the answer is stored at the provider unless the body forbids it
	outside   []string // members by which the answer depends on more than the body
	silent    []string // members on which no part of the answer depends: they say who asks
}

// paths are the paths of which something is known. Whatever is sent to another path is repeatable if the operator says so, and all of
// its body counts. An answer of /responses repeats the members that are silent elsewhere.
var paths = map[string]path{
	"/embeddings": {silent: []string{"user"}},
	"/chat/completions": {
		generates: true, outside: []string{"plugins", "search_parameters", "web_search_options"},
		silent: []string{"metadata", "prompt_cache_key", "safety_identifier", "user"},
	},
	"/completions": {generates: true, silent: []string{"user"}},
	"/messages":    {generates: true, outside: []string{"container", "mcp_servers"}, silent: []string{"metadata"}},
	"/responses": {
		generates: true, stores: true, outside: []string{"background", "conversation", "previous_response_id", "prompt"},
	},
}

// repeatable reports whether a request to this path may be answered with an earlier answer to the same one. Where text is generated
// its temperature must be given as 0; a seed alone is a wish that providers grant "as far as they can". One answer must be asked for
// that is not stored at the provider, and nothing may go on there beside the model, such as a search of the web.
func (p path) repeatable(body form) bool {
	if !p.generates {
		return true
	}
	store := body.get("store")
	return isZero(body.get("temperature")) && isOne(body.get("n")) && isOne(body.get("best_of")) &&
		(string(store) == "false" || isUnset(store) && !p.stores) &&
		!slices.ContainsFunc(p.outside, func(name string) bool { return !isUnset(body.get(name)) }) &&
		areForClients(body.get("tools"))
}

// isUnset reports whether a value says no more than its absence does.
func isUnset(value []byte) bool {
	return value == nil || string(value) == "null" || string(value) == "false"
}

// isOne reports whether a number that is 1 by default is 1.
func isOne(value []byte) bool { return isUnset(value) || string(value) == "1" }

// isZero reports whether a value is the number 0, however it is written.
func isZero(value []byte) bool {
	x, err := strconv.ParseFloat(string(value), 64)
	return err == nil && x == 0
}

// areForClients reports whether tools are left to the client to use, so that no answer depends on what they find: functions, or
// custom ones, which both may leave out their type. Others may be used by the provider while it answers.
func areForClients(tools []byte) bool {
	if isUnset(tools) {
		return true
	}
	all := true
	whole := elements(tools, func(tool []byte) {
		one, ok := readForm(tool)
		switch string(one.get("type")) {
		case "", `"function"`, `"custom"`:
			all = all && ok
		default:
			all = false
		}
	})
	return whole && all
}

// directives reads what a client says about answers that are not made for it alone: fresh that it wants none, private that
// moreover its own is for nobody else.
func directives(h http.Header) (fresh, private bool) {
	for _, value := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(value, ",") {
			directive = strings.TrimSpace(directive)
			fresh = fresh || strings.EqualFold(directive, "no-cache")
			private = private || strings.EqualFold(directive, "no-store")
		}
	}
	return fresh, private
}
