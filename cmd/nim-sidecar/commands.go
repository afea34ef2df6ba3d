package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"nimsidecar/internal/config"

	"github.com/alecthomas/kong"
)

// commands is the grammar of the command line.
type commands struct {
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Run the sidecar. This is what runs when no command is named."`
	Demo        demoCommand        `cmd:"" help:"Run the sidecar in front of a built-in mock upstream, with sample traffic. Its answers are synthetic."`
	Mock        mockCommand        `cmd:"" help:"Run the mock upstream alone: an emulator of NVIDIA's hosted gateway and its limiter."`
	Top         topCommand         `cmd:"" help:"Watch a running sidecar in the terminal."`
	Status      statusCommand      `cmd:"" help:"Print the state of a running sidecar once."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running sidecar whether it works: exit 0 or 1."`
	Config      configCommands     `cmd:"" help:"Check, print and explain settings."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
	Completion  completionCommand  `cmd:"" help:"Print a completion script for a shell."`
	Man         manCommand         `cmd:"" hidden:"" help:"Print the man page."`

	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

func newCommands() *commands {
	list := config.Settings()
	all := newFlags(list)
	c := &commands{}
	c.Serve.settings = all.settings()
	c.Demo.settings = newFlags(demoSettings(list)).settings()
	c.Top.settings = all.settings()
	c.Status.settings = all.settings()
	c.Healthcheck.settings = all.settings()
	c.Config.Check.settings = all.settings()
	c.Config.Print.settings = all.settings()
	return c
}

// settings are the flags of settings, for the commands that load them.
type settings struct {
	kong.Plugins

	list []config.Setting
}

// flags are the settings that have a flag, and a struct with one field for each of them, which is what kong reads flags from. Several
// commands may share them.
type flags struct {
	list   []config.Setting
	fields reflect.Type
}

// newFlags makes the flags of settings. All fields are pointers, so that a flag that was given can be told from one that was not. The
// values stay text: only config judges them, together with those of the other layers.
func newFlags(list []config.Setting) (f flags) {
	var fields []reflect.StructField
	for _, setting := range list {
		if setting.Flag == "" {
			continue
		}
		f.list = append(f.list, setting)
		fields = append(fields, reflect.StructField{
			Name: "Flag" + strconv.Itoa(len(fields)), Type: flagType(setting), Tag: flagTag(setting),
		})
	}
	f.fields = reflect.StructOf(fields)
	return f
}

// settings returns what the flags of one command are read into.
func (f flags) settings() settings {
	return settings{Plugins: kong.Plugins{reflect.New(f.fields).Interface()}, list: f.list}
}

func flagType(s config.Setting) reflect.Type {
	if s.Switch {
		return reflect.TypeFor[*bool]()
	}
	return reflect.TypeFor[*string]()
}

func flagTag(s config.Setting) reflect.StructTag {
	help := strings.ReplaceAll(strings.ReplaceAll(s.Help, "`", ""), "$", "$$") + " (" + strings.Join(s.Env, ", ") + ")"
	placeholder := s.Default
	switch {
	case s.Secret:
		placeholder = "FILE"
	case placeholder == "":
		placeholder = s.Example
	}
	return reflect.StructTag(fmt.Sprintf(`name:%q help:%q placeholder:%q group:"Settings"`, s.Flag, help, placeholder))
}

// given returns the flags that were given, as config takes them.
func (s *settings) given() map[string]string {
	flags := map[string]string{}
	values := reflect.ValueOf(s.Plugins[0]).Elem()
	for i, setting := range s.list {
		if v := values.Field(i); !v.IsNil() {
			flags[setting.Flag] = fmt.Sprint(v.Elem())
		}
	}
	return flags
}

// load loads the settings of all layers.
func (s *settings) load(p *process) (*config.Config, error) {
	return config.Load(config.Sources{Flags: s.given(), Environ: p.environ})
}
