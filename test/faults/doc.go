// Package faults is the built binary against hostile clients, upstreams and web pages, over real sockets.
//
// Nothing of the sidecar is imported: a test starts the program, puts a scripted upstream behind it, and speaks to it in raw bytes.
// Both ends have parsers of their own, so that an ambiguous request or answer is seen and not repaired by the library that the
// sidecar itself is built on. Every test starts its own program. When a test ends, its program is stopped, and it is checked that
// neither the upstream's key nor a prompt stands in any byte that it logged, and that the key is in none that a client received.
package faults
