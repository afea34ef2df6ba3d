package deploy

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestTheManPageIsOne has mandoc read what the package installs.
func TestTheManPageIsOne(t *testing.T) {
	t.Parallel()
	page, err := exec.Command(binary, "man").Output()
	if err != nil {
		t.Fatal(err)
	}
	mandoc := tool(t, "mandoc", "mandoc")
	lint := exec.Command(mandoc, "-T", "lint", "-W", "error")
	lint.Stdin = strings.NewReader(string(page))
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("mandoc -T lint: %v\n%s", err, out)
	}
	shown := exec.Command(mandoc, "-T", "utf8")
	shown.Stdin = strings.NewReader(string(page))
	out, err := shown.Output()
	text := regexp.MustCompile(".\x08").ReplaceAllString(string(out), "") // bold is a letter over itself
	if err != nil || !strings.Contains(text, "EXIT STATUS") || strings.Contains(text, `\f`) {
		t.Errorf("mandoc shows %d bytes, %v; want a page without escapes", len(out), err)
	}
}
