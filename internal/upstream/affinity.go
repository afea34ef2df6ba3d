package upstream

// A conversation stays with the account and the key that know its beginning, where providers keep caches of prompts. Who serves it
// is the one with the greatest weight (rendezvous hashing): of n each gets an n-th of the conversations, and when one is away only
// its own move.

// seedOf returns the hash of a name: FNV-1a with 64 bits, so that a conversation finds its place again after a restart.
func seedOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// weight is how much a conversation and a name belong together: the finalizer of SplitMix64 over both.
func weight(conversation, seed uint64) uint64 {
	x := conversation ^ seed
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// arrange calls visit with the numbers of the accounts in the order in which a conversation prefers them: the two with the greatest
// weight, then the others as they stand. So n accounts make n·(n-1) orders at most rather than n!, and those who wait for one and the
// same order wait in one line.
func (p *provider) arrange(conversation uint64, visit func(i int)) {
	first, second := -1, -1
	for i, a := range p.accounts {
		switch w := weight(conversation, a.seed); {
		case first < 0 || w > weight(conversation, p.accounts[first].seed):
			first, second = i, first
		case second < 0 || w > weight(conversation, p.accounts[second].seed):
			second = i
		}
	}
	for _, i := range [...]int{first, second} {
		if i >= 0 {
			visit(i)
		}
	}
	for i := range p.accounts {
		if i != first && i != second {
			visit(i)
		}
	}
}

// rotate calls visit with the numbers of the accounts, beginning with another one each time.
func (p *provider) rotate(visit func(i int)) {
	n := len(p.accounts)
	start := int((p.turn.Add(1) - 1) % uint64(n))
	for i := range n {
		visit((start + i) % n)
	}
}
