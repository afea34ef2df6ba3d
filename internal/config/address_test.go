package config

import "testing"

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text     string
		loopback bool
		dial     string // network and address
	}{
		{"127.0.0.1:9190", true, "tcp 127.0.0.1:9190"},
		{"127.1.2.3:1", true, "tcp 127.1.2.3:1"},
		{"localhost:0", true, "tcp localhost:0"},
		{"LOCALHOST:80", true, "tcp localhost:80"},
		{"[::1]:9190", true, "tcp [::1]:9190"},
		{"[::ffff:127.0.0.1]:1", true, "tcp [::ffff:127.0.0.1]:1"},
		{"unix:/run/s.sock", true, "unix /run/s.sock"},
		{":9190", false, "tcp 127.0.0.1:9190"},
		{"0.0.0.0:9190", false, "tcp 127.0.0.1:9190"},
		{"[::]:9190", false, "tcp [::1]:9190"},
		{"10.0.0.1:9190", false, "tcp 10.0.0.1:9190"},
		{"[fe80::1%eth0]:9190", false, "tcp [fe80::1%eth0]:9190"},
		{"sidecar:9190", false, "tcp sidecar:9190"},
	}
	for _, tt := range tests {
		a, err := ParseAddress(tt.text)
		if err != nil {
			t.Errorf("ParseAddress(%q): %v", tt.text, err)
			continue
		}
		if got := a.Loopback(); got != tt.loopback {
			t.Errorf("%q.Loopback() = %v; want %v", tt.text, got, tt.loopback)
		}
		if network, address := a.Dial(); network+" "+address != tt.dial {
			t.Errorf("%q.Dial() = %s %s; want %s", tt.text, network, address, tt.dial)
		}
	}
	for _, text := range []string{"", ":", "9190", "localhost", "localhost:http", "localhost:-1", ":65536", "::1:9190", "unix:", "http://x:1", "a b:1"} {
		if a, err := ParseAddress(text); err == nil {
			t.Errorf("ParseAddress(%q) = %+v; want an error", text, a)
		}
	}
}

func TestWhichAddressesClash(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:1", ":1", true},
		{"0.0.0.0:1", "10.0.0.1:1", true},
		{"[::]:1", "127.0.0.1:1", true},
		{":0", ":0", false},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false},
		{"unix:/a", ":1", false},
	}
	for _, tt := range tests {
		a, errA := ParseAddress(tt.a)
		b, errB := ParseAddress(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.clashes(b) != tt.want || b.clashes(a) != tt.want {
			t.Errorf("%s and %s clash: %v, %v; want %v", tt.a, tt.b, a.clashes(b), b.clashes(a), tt.want)
		}
	}
}
