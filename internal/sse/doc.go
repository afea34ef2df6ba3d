// Package sse is reading, writing and keeping alive event streams.
//
// The format is WHATWG HTML, "Server-sent events": lines that end in LF, CR or CRLF, and a blank line after each event. Splitter finds
// where events end in a stream that is passed on byte for byte, so that something of our own can be put between two of them; Events
// reads them; AppendEvent and AppendComment write them.
package sse
