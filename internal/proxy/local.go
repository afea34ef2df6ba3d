package proxy

import (
	"fmt"
	"net/http"

	"nimsidecar/internal/anthropic"
	"nimsidecar/internal/wire"
)

// The paths that may be answered here.
const (
	modelsPath = "/models"
	countPath  = "/messages/count_tokens"
)

// local answers what needs no attempt, or reports false.
func (x *exchange) local() bool {
	switch {
	case x.free && x.path == modelsPath && x.r.Method != http.MethodOptions && !x.named && x.h.Upstream.Merges():
		x.listModels()
	case x.path == countPath && x.r.Method == http.MethodPost && !x.h.Upstream.Speaks(x.to.Provider, wire.Anthropic):
		x.countTokens()
	default:
		return false
	}
	return true
}

// listModels answers with the models of all providers, and the aliases of routes.
func (x *exchange) listModels() {
	x.phase = phaseUpstream
	list, err := x.h.Upstream.Models(x.r.Context())
	if x.r.Context().Err() != nil {
		x.endedByContext()
		return
	}
	if err == nil && x.wantsAnthropicList() {
		list, err = anthropic.Models(list)
	}
	if err != nil {
		x.refuse(&wire.Error{Reason: wire.UpstreamUnreachable, Message: "no provider gave a list of its models"})
		return
	}
	x.reply(list)
}

// wantsAnthropicList reports whether the client reads a list of models as Anthropic writes it.
func (x *exchange) wantsAnthropicList() bool { return x.header("Anthropic-Version") != "" }

// countTokens estimates what the provider cannot count.
func (x *exchange) countTokens() {
	n, err := anthropic.CountTokens(x.body)
	if err != nil {
		x.refuse(untranslatable(err))
		return
	}
	x.reply(fmt.Appendf(nil, `{"input_tokens":%d}`, n))
}

// reply sends a JSON answer of our own making.
func (x *exchange) reply(body []byte) {
	x.take()
	defer x.give()
	x.sealed = true
	x.whole(http.StatusOK, http.Header{"Content-Type": {"application/json"}}, body)
}
