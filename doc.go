// Package nimsidecar is the root of the module and holds no code: nim-sidecar is a product, not a library.
//
// Many agents share one scarce quota. The sidecar holds every request in one waiting room, lets out the right one at the
// earliest moment the ledgers allow, and hides every refusal that can be cured by waiting. That a quota's true size may be
// hidden and may move is seen in what it refuses only: this version learns no limits.
//
// To read the code, in order:
//
//   - README.md, as its operator (5 minutes), and the walk of one request in ARCHITECTURE.md (10 minutes);
//   - internal/priority, internal/limit, internal/pace: the vocabulary and the style (15 minutes);
//   - internal/sched, beginning with its package doc: the order of the waiting room, with its guarantee, its bound and
//     a numeric example;
//   - internal/quota: the ledgers; internal/gate: the one place where requests wait;
//   - internal/proxy: a request from its first byte to its last;
//   - internal/app: New builds the whole machine on a screen and a half;
//   - internal/mock: what the other side really does; internal/sim: the system against it, in virtual time.
//
// The rules that hold the cut together are executed: arch_test.go compares the tables of ARCHITECTURE.md with the code.
package nimsidecar
