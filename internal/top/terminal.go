package top

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal is what a view is shown on. It is used by one goroutine but for Read, which another one may call.
type Terminal interface {
	// Read must return what is typed, byte by byte as it is, and an error only when the terminal has gone.
	io.Reader
	// Write must show text and follow control sequences.
	io.Writer
	// Size must return how many characters fit now.
	Size() (width, height int)
	// Resized must give something after each change of the size; nil never does.
	Resized() <-chan os.Signal
}

// Console is the terminal of a process. Use OpenConsole.
type Console struct {
	in, out *os.File
	keys    *term.State // of in, as it was; nil where it is no terminal
	resized chan os.Signal
}

// OpenConsole returns the terminal that in and out are, so that keys come as they are typed, and ok. It is not ok where out is no
// terminal. The caller closes it.
func OpenConsole(in, out *os.File) (c *Console, ok bool) {
	if !term.IsTerminal(int(out.Fd())) {
		return nil, false
	}
	c = &Console{in: in, out: out, resized: make(chan os.Signal, 1)}
	if keys, err := term.MakeRaw(int(in.Fd())); err == nil { // else it is no terminal, and only signals end the view
		c.keys = keys
	}
	notifyResize(c.resized)
	return c, true
}

// Close makes the terminal as it was.
func (c *Console) Close() error {
	stopResize(c.resized)
	if c.keys == nil {
		return nil
	}
	return term.Restore(int(c.in.Fd()), c.keys)
}

// Read implements Terminal. Where in is no terminal, nothing is ever typed, and it never returns.
func (c *Console) Read(p []byte) (int, error) {
	if c.keys == nil {
		select {}
	}
	return c.in.Read(p)
}

// Write implements Terminal.
func (c *Console) Write(p []byte) (int, error) { return c.out.Write(p) }

// Resized implements Terminal.
func (c *Console) Resized() <-chan os.Signal { return c.resized }

// Size implements Terminal. A terminal that does not know its size, such as a serial line, has the classic one.
func (c *Console) Size() (width, height int) {
	if width, height, err := term.GetSize(int(c.out.Fd())); err == nil && width > 0 && height > 0 {
		return width, height
	}
	return 80, 24
}

// The control sequences of the view: the alternate screen, so that what was there comes back, no cursor, no wrapping.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
	wipe  = "\x1b[2J"
)

// screen shows lines in place and sends only those that have changed.
type screen struct {
	out           io.Writer
	shown         []string
	width, height int // that shown was made for
}

// show shows the lines of a view on a terminal of that size.
func (s *screen) show(lines []string, width, height int) error {
	var b strings.Builder
	if width != s.width || height != s.height {
		b.WriteString(wipe)
		s.shown, s.width, s.height = nil, width, height
	}
	for i := range max(len(lines), len(s.shown)) {
		var old, text string
		if i < len(s.shown) {
			old = s.shown[i]
		}
		if i < len(lines) {
			text = lines[i]
		}
		if old != text {
			fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", i+1, text)
		}
	}
	s.shown = lines
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}
