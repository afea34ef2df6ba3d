package main

import (
	"regexp"
	"strings"
	"testing"

	"nimsidecar/internal/config"
)

func TestTheManPageNamesEveryCommandAndSetting(t *testing.T) {
	t.Parallel()
	code, page, stderr := call(t, nil, "man")
	if code != exitOK || stderr != "" {
		t.Fatalf("man = %d, %q; want 0 and no complaint", code, stderr)
	}
	for _, command := range []string{"serve", "demo", "mock", "healthcheck", "config check", "config print", "completion bash|zsh|fish", "version"} {
		if !strings.Contains(page, "\n.B "+command+"\n") {
			t.Errorf("the page does not name %s", command)
		}
	}
	for _, s := range config.Settings() {
		if s.Flag != "" && !strings.Contains(page, `\fB\-\-`+strings.ReplaceAll(s.Flag, "-", `\-`)+`\fR`) {
			t.Errorf("the page does not name --%s", s.Flag)
		}
	}
	if strings.Contains(page, "\n.B man\n") {
		t.Error("the page names the hidden command that prints it")
	}
	if foreign := regexp.MustCompile(`(?m)^[.'].*$`).FindAllString(page, -1); len(foreign) > 0 {
		for _, line := range foreign {
			if !regexp.MustCompile(`^\.(TH|SH|TP|B|BR|I|RS|RE)( |$)`).MatchString(line) {
				t.Errorf("the line %q is taken for an instruction", line)
			}
		}
	}
}

func TestRoffMakesPlainText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a word":      "a word",
		".TH is none": `\&.TH is none`,
		"'tis":        `\&'tis`,
		`\fB--x`:      `\efB\-\-x`,
		"two\n.lines": "two .lines",
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q; want %q", text, got, want)
		}
	}
}
