// Package top is the terminal view of a running sidecar.
//
// [Lines] is the whole view as a function of what is to be shown: a snapshot, a size, a language and a time. The rest brings the
// snapshot here ([Client]) and the lines to a person ([Run]): on a terminal in place, once a second and after each change of its size;
// anywhere else as plain text.
//
// # What is hostile
//
// Names of models and agents come from clients, and reasons from upstreams. Whatever a snapshot holds, all that reaches the terminal is
// printable characters and the few control sequences of this package: every text passes [Clean] on its last step, when a line is
// encoded, so that no part of the view has to think of it.
//
// # What a terminal is trusted with
//
// Own drawing is ASCII, since terminals disagree on the width of block characters. Text is measured by Unicode's table of wide characters, and
// each line is placed by itself with wrapping switched off: a terminal that measures differently spoils one line, never the view.
package top
