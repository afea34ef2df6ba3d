package upstream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"nimsidecar/internal/wire"
)

// manyAccounts is a table of one provider with n accounts.
func manyAccounts(t testing.TB, n int) *Table {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("account-", i))
	}
	return newTable(t, Provider{URL: parseURL(t, "https://up.test"), Accounts: accounts(names...)}, nil)
}

// orderOf returns the accounts of a conversation's lanes.
func orderOf(table *Table, conversation uint64) (order []string) {
	for _, lane := range table.Lanes(Target{"up", "m"}, conversation, nil) {
		order = append(order, lane.Account)
	}
	return order
}

func TestAConversationKeepsItsAccountAndAllAccountsGetSome(t *testing.T) {
	t.Parallel()
	const n, conversations = 5, 10_000
	table, again := manyAccounts(t, n), manyAccounts(t, n)
	first, orders := map[string]int{}, map[string]bool{}
	for i := range conversations {
		body := fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"%d"}`, i)
		c := wire.Conversation(append(body, `]}`...))
		order := orderOf(table, c)
		grown := wire.Conversation(append(body, `,{"role":"assistant","content":"x"}]}`...))
		if later := orderOf(again, grown); fmt.Sprint(later) != fmt.Sprint(order) {
			t.Fatalf("lanes of conversation %d = %v, and when it has grown %v", i, order, later)
		}
		first[order[0]]++
		orders[fmt.Sprint(order)] = true
		if len(order) != n {
			t.Fatalf("lanes = %v; want all %d accounts", order, n)
		}
	}
	for name, got := range first {
		if got < conversations/n*9/10 || got > conversations/n*11/10 {
			t.Errorf("%s is the first of %d conversations; want %d within a tenth", name, got, conversations/n)
		}
	}
	if len(first) != n || len(orders) > n*(n-1) {
		t.Errorf("%d accounts are ever first, in %d orders; want %d, in at most %d", len(first), len(orders), n, n*(n-1))
	}
}

func TestAnAccountThatGoesMovesItsOwnConversationsOnly(t *testing.T) {
	t.Parallel()
	all := manyAccounts(t, 5)
	fewer := newTable(t, Provider{URL: parseURL(t, "https://up.test"), Accounts: accounts("account-0", "account-1", "account-3", "account-4")}, nil)
	moved := map[string]int{}
	for range 10_000 {
		c := 1 + rand.Uint64N(1<<63)
		before, after := orderOf(all, c), orderOf(fewer, c)
		switch {
		case before[0] != "account-2" && after[0] != before[0]:
			t.Fatalf("conversation %d went from %s to %s though only account-2 has gone", c, before[0], after[0])
		case before[0] == "account-2":
			moved[after[0]]++
			if after[0] != before[1] {
				t.Fatalf("conversation %d went to %s; want its second, %s", c, after[0], before[1])
			}
		}
	}
	if len(moved) != 4 {
		t.Errorf("the conversations of account-2 went to %v; want them spread over the other four", moved)
	}
}

func TestRequestsWithoutAConversationTakeTurns(t *testing.T) {
	t.Parallel()
	table := manyAccounts(t, 3)
	var first strings.Builder
	for range 6 {
		first.WriteString(orderOf(table, 0)[0][len("account-"):])
	}
	if first.String() != "012012" {
		t.Errorf("first accounts = %s; want 012012", first.String())
	}
}

func TestAConversationKeepsItsKey(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{Accounts: twoKeys()}, byKey(map[string]string{}), func(r *rig) {
		used := map[uint64]string{}
		both := map[string]bool{}
		for i := range uint64(60) {
			c := 1 + i%20
			a := r.attemptFirst(r.t.Context(), &Request{Method: "POST", Path: "/x", Conversation: c})
			a.Close()
			if used[c] != "" && used[c] != a.KeyAlias {
				t.Errorf("conversation %d moved from key %s to %s", c, used[c], a.KeyAlias)
			}
			used[c], both[a.KeyAlias] = a.KeyAlias, true
		}
		if len(both) != 2 {
			t.Errorf("keys used = %v; want both", both)
		}
	})
}
