package dash

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// built returns the page in the binary, which web/ is built into.
func built() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("dash: the directory that is embedded: " + err.Error())
	}
	return sub
}

// page is the files of the built page. They are read once; it is immutable.
type page struct {
	files map[string]file
}

// file is one file, as it is and compressed; packed is nil where that is no shorter.
type file struct {
	plain, packed []byte
	mime          string
}

// packedSuffix names the compressed twin of a file.
const packedSuffix = ".gz"

// newPage reads all files. A twin that cannot be read is left out, as is what is no file.
func newPage(from fs.FS) *page {
	p := &page{files: map[string]file{}}
	_ = fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return nil
		}
		bare, packed := strings.CutSuffix(name, packedSuffix)
		f := p.files[bare]
		f.mime = typeOf(bare)
		if packed {
			f.packed = content
			if f.plain == nil {
				f.plain = unpack(content)
			}
		} else {
			f.plain = content
		}
		p.files[bare] = f
		return nil
	})
	return p
}

// typeOf returns the type of a file by its name. The system's tables are not asked: they differ.
func typeOf(name string) string {
	if t := types[path.Ext(name)]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// types are those of what a page is built of.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2",
	".webmanifest": "application/manifest+json", ".map": "application/json", ".txt": "text/plain; charset=utf-8",
}

func unpack(packed []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return plain
}

// serve answers with a file. Those under assets/ have a hash in their names, so they never change.
func (p *page) serve(d *Dash, w http.ResponseWriter, r *http.Request, name string) {
	if name == "" {
		name = "index.html"
	}
	f, ok := p.files[name]
	if !ok {
		d.fail(w, r, notFound("there is no such page: the dashboard is at /sidecar/"))
		return
	}
	if !allowed(w, r, []string{http.MethodGet, http.MethodHead}) {
		d.fail(w, r, &Error{Status: http.StatusMethodNotAllowed, Param: "method", Code: BadRequest, Message: r.Method + " is not for a page: use GET"})
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	if strings.HasPrefix(name, "assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.plain
	if f.packed != nil {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body = f.packed
		}
	}
	send(w, r, http.StatusOK, f.mime, body)
}

// takesGzip reports whether an Accept-Encoding allows gzip (RFC 9110, 12.5.3).
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if coding = strings.TrimSpace(coding); strings.EqualFold(coding, "gzip") || coding == "*" {
			q, given := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			return !given || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
