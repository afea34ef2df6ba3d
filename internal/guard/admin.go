package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"nimsidecar/internal/secret"
)

// Admin decides who may look at the dashboard and who may change settings. The zero value knows no token: then only programs and pages of
// this machine may do either. It is immutable and safe for concurrent use. It stands behind Guard.Wrap, which keeps web pages out.
type Admin struct {
	token [sha256.Size]byte
	set   bool
}

// NewAdmin returns an Admin that lets whoever shows the token do everything, from everywhere. The empty token is none.
func NewAdmin(token secret.Text) Admin {
	return Admin{token: sha256.Sum256([]byte(token.Reveal())), set: !token.Empty()}
}

// Permit is what an Admin says of a request.
type Permit uint8

// The kinds of Permit.
const (
	Granted   Permit = iota
	TokenLess        // it must show the admin token, and does not
	Remote           // no token is configured, and it does not come from this machine
)

// MayRead says whether a request may see the state. Nobody on this machine needs a token for that; others always do.
func (a Admin) MayRead(r *http.Request) Permit {
	if IsLocal(r) {
		return Granted
	}
	return a.permit(r, Remote)
}

// MayWrite says whether a request may change something. Where there is a token it must be shown, on this machine too; without one the
// request must come from this machine, and from no other page than our own: a page that the settings let use the sidecar is not its
// administrator because its browser runs here.
func (a Admin) MayWrite(r *http.Request) Permit {
	if IsLocal(r) && !fromOtherPage(r) {
		return a.permit(r, Granted)
	}
	return a.permit(r, Remote)
}

// fromOtherPage reports whether a request says that it comes from a page which is not ours.
func fromOtherPage(r *http.Request) bool {
	given := r.Header["Origin"]
	return len(given) > 0 && !isOwn(given[0], r.Host)
}

// permit checks the token; without one is what holds where none is configured.
func (a Admin) permit(r *http.Request, without Permit) Permit {
	if !a.set {
		return without
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(given[:], a.token[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		return Granted
	}
	return TokenLess
}

// IsLocal reports whether a request comes from this machine: over a Unix socket, or from a loopback address. One that a reverse proxy has
// passed on, as its headers say, comes from elsewhere; those headers cannot make a request local, only the opposite.
func IsLocal(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	if overUnixSocket(r) {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
