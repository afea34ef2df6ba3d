package upstream

import "testing"

func TestKeysAreThoseOfAllAccounts(t *testing.T) {
	t.Parallel()
	url := parseURL(t, "https://up.test")
	two := accounts("a", "b")
	two[1].Keys = append(two[1].Keys, Key{Alias: "more", Secret: two[0].Keys[0].Secret})
	for _, tt := range []struct {
		name     string
		accounts []Account
		want     int
	}{
		{"the clients' own", nil, 0},
		{"one", accounts("a"), 1},
		{"two accounts with three keys", two, 3},
	} {
		table := newTable(t, Provider{URL: url, Accounts: tt.accounts}, nil)
		if got := table.Keys("up"); got != tt.want {
			t.Errorf("%s: Keys = %d; want %d", tt.name, got, tt.want)
		}
		if got := table.Keys("nobody"); got != 0 {
			t.Errorf("Keys of an unknown provider = %d; want 0", got)
		}
	}
}
