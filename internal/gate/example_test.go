package gate_test

import (
	"context"
	"fmt"
	"sync"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// The life of a request: a ticket, a grant, an attempt, and the end of it.
func Example() {
	g := gate.New(gate.Options{Budget: quota.New(quota.Options{})})
	ctx, stop := context.WithCancel(context.Background())
	var owner sync.WaitGroup
	owner.Go(func() { _ = g.Run(ctx) })
	defer owner.Wait()
	defer stop()

	ticket := g.Enqueue(gate.Request{
		Class: priority.High,
		Lanes: []limit.Scope{{Provider: "nvidia", Account: "main", Model: "meta/llama"}},
		Claim: quota.Claim{Requests: 1},
	})
	<-ticket.Decided() // with the client's leaving beside it, which calls for ticket.Abandon
	grant, refusal := ticket.Result()
	if refusal != nil {
		fmt.Println(refusal)
		return
	}
	defer grant.Settle(quota.Use{Written: true})
	fmt.Println("sent on", grant.Lane())
	grant.Sent()
	grant.Observe(hint.Outcome{Class: hint.OK, Status: 200})
	// Output: sent on nvidia/main/meta/llama
}
