package coalesce

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// Request is what a request is judged by. Nothing of it is changed, and nothing of it is kept but a hash.
type Request struct {
	// Provider is where the request goes, Method, Path and RawQuery what it asks there. The path is the escaped one below /v1.
	Provider, Method, Path, RawQuery string
	// Model is the model that the body names.
	Model string
	// Class separates those that wait for each other: a request never waits for the call of one of another class, which may be of
	// less urgency. A kept answer is for all of them.
	Class uint8
	// Client is who asks, if clients have keys; clients share nothing unless Options.ShareClients says so.
	Client string
	// OurKey says that a key of the sidecar's goes up in the place of the client's credential, which then says nothing about the
	// answer. Otherwise requests with different credentials are never the same.
	OurKey bool
	// Header is the client's, in canonical form.
	Header http.Header
	// Body is the whole body.
	Body []byte
}

// key stands for all that makes two requests the same one. It gives nothing of them away.
type key [sha256.Size]byte

// credentials are the request headers that do not count where a key of the sidecar's goes up.
var credentials = map[string]bool{"Authorization": true, "X-Api-Key": true, "Api-Key": true}

// ignored are the request headers that do not count: they say who asks and from where, or are for the sidecar or the connection, and no
// answer depends on them. All others count, also those that nobody has heard of: one of them may be a credential, and to miss a saving
// is better than to share what must not be shared.
var ignored = map[string]bool{
	"Baggage": true, "Cache-Control": true, "Connection": true, "Content-Length": true, "Cookie": true, "Expect": true,
	"Forwarded": true, "Host": true, "Idempotency-Key": true, "Keep-Alive": true, "Origin": true, "Pragma": true, "Priority": true,
	"Referer": true, "Sentry-Trace": true, "Session-Id": true, "Te": true, "Thread-Id": true, "Traceparent": true, "Tracestate": true,
	"Trailer": true, "Transfer-Encoding": true, "User-Agent": true, "Via": true, "X-Claude-Code-Session-Id": true,
	"X-Client-Request-Id": true, "X-Priority": true, "X-Real-Ip": true, "X-Request-Id": true, "X-Session-Affinity": true,
	"X-Session-Id": true,
}

// ignoredPrefixes are the beginnings of more such names.
var ignoredPrefixes = [...]string{"Proxy-", "Sec-", "X-Forwarded-", "X-Sidecar-", "X-Stainless-"}

// counts reports whether a request header makes a difference.
func (r *Request) counts(name string) bool {
	return !ignored[name] && !(r.OurKey && credentials[name]) &&
		!slices.ContainsFunc(ignoredPrefixes[:], func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// keyOf returns the key of a request whose body says what form says. Two requests have the same key exactly if provider, path, query,
// client and the headers that count are the same, and if their bodies have the same members but for the silent ones, in whatever order.
//
// Below the top level the order of members counts as it reaches the model: the properties of a schema are the order in which a
// structured answer is written, and whether the reasoning comes before the verdict is no matter of form. White space does not
// count; numbers and strings count as they are written.
func keyOf(r *Request, form form, silent []string) (k key) {
	var memory [32]string
	names := memory[:0]
	for name := range r.Header {
		if r.counts(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)

	hash := sha256.New()
	d := digest{*bufio.NewWriterSize(hash, 1<<10)}
	for _, part := range [...]string{r.Provider, r.Path, r.RawQuery, r.Client} {
		d.text(part)
	}
	for _, name := range names {
		d.text(name)
		for _, value := range r.Header[name] {
			d.text(value)
		}
		d.count(len(r.Header[name]))
	}
	d.count(len(names))
	members := 0
	for _, m := range form {
		if !slices.Contains(silent, string(m.name)) {
			d.text(string(m.name))
			d.json(m.value)
			members++
		}
	}
	d.count(members)
	_ = d.Flush() // a hash does not fail
	hash.Sum(k[:0])
	return k
}

// digest writes texts and lists of them so that no two give the same bytes: each has its length behind it, so the whole can be taken
// apart from its end. Behind it rather than before, since that of JSON without its white space is known only then.
type digest struct{ bufio.Writer }

// text writes a text.
func (d *digest) text(s string) {
	_, _ = d.WriteString(s)
	d.count(len(s))
}

// count writes a number, in eight bytes.
func (d *digest) count(n int) {
	_, _ = d.Write(binary.LittleEndian.AppendUint64(d.AvailableBuffer(), uint64(n)))
}

// json writes a value, which neither begins nor ends with white space, without the white space that says nothing: in valid JSON that
// is all that is not in a string. Between two bytes that it keeps apart one blank stays, so that what is not valid does not become so.
func (d *digest) json(text []byte) {
	length, start := 0, 0
	keep := func(p []byte) {
		n, _ := d.Write(p)
		length += n
	}
	for i := 0; i < len(text); {
		switch {
		case text[i] == '"':
			i = stringEnd(text, i)
		case !isSpace(text[i]):
			i++
		default:
			keep(text[start:i])
			before := text[i-1]
			for isSpace(text[i]) {
				i++
			}
			if start = i; !isPunctuation(before) && !isPunctuation(text[i]) {
				keep([]byte{' '})
			}
		}
	}
	keep(text[start:])
	d.count(length)
}
