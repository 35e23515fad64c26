package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Program describes a binary: its settings, the constructor of its service, and its commands.
type Program[C any] struct {
	Name string
	// New opens the dependencies of the service and declares its parts; it must not serve yet.
	New func(ctx context.Context, cfg C, rt Runtime) (*Service, error)
	// Base returns the part of the settings that this package needs.
	Base func(*C) *Config
	// Migrate brings the database up to date (-migrate); nil for a program without a database.
	Migrate func(ctx context.Context, cfg C, rt Runtime) error
	// Commands are run as "<binary> word word …"; the longest matching name wins.
	Commands []Command[C]
}

// Command is an action that a binary performs instead of serving.
type Command[C any] struct {
	Name, Doc string
	// A Bare command also runs when settings are missing or wrong, for example to print the first
	// key. cfg then holds the settings that could be read.
	Bare bool
	Run  func(ctx context.Context, cfg C, rt Runtime, args []string, out io.Writer) error
}

// Main is the whole main function of a binary. It reads the environment, catches signals, and
// exits: 0 after an orderly stop, 1 after a failure, 2 when it was called wrongly or its settings
// are wrong.
func Main[C any](p Program[C]) {
	SetGCPercent()
	os.Exit(p.run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

func (p Program[C]) run(args, environ []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { p.usage(flags, stderr) }
	showConfig := flags.Bool("config", false,
		"print every setting with its value, where that comes from and what it means, and stop")
	showVersion := flags.Bool("version", false, "print the version and stop")
	migrate := flags.Bool("migrate", false, "bring the database up to date and stop")
	health := flags.Bool("health", false,
		"ask the running process on ADMIN_ADDR, which must have a fixed port, whether it is ready and stop")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *migrate && p.Migrate == nil:
		fmt.Fprintf(stderr, "%s: -migrate is for services with a database, and this one has none\n", p.Name)
		return 2
	}
	var cfg C
	switch {
	case *showConfig:
		return exitCode(config.Print(stdout, &cfg, environ), stderr)
	case *showVersion:
		fmt.Fprintln(stdout, p.Name, Version())
		return 0
	}
	command, rest := p.find(flags.Args())
	if command == nil && flags.NArg() > 0 {
		fmt.Fprintf(stderr, "%s: no command %q; %s -h lists them\n", p.Name, strings.Join(flags.Args(), " "), p.Name)
		return 2
	}
	if err := config.Load(&cfg, environ); err != nil && (command == nil || !command.Bare) {
		fmt.Fprintf(stderr, "%s: settings are wrong (%s -config lists them):\n%v\n", p.Name, p.Name, err)
		return 2
	}
	ctx, release := Signals(context.Background())
	defer release()
	base := p.Base(&cfg)
	rt := NewRuntime(*base, stderr)
	rt.Log = rt.Log.With("service", p.Name)
	for _, warning := range config.Removed(&cfg, environ) {
		rt.Log.Warn(warning)
	}
	switch {
	case *health:
		return exitCode(askReady(ctx, base.AdminAddr), stderr)
	case *migrate:
		return exitCode(p.Migrate(ctx, cfg, rt), stderr)
	case command != nil:
		return exitCode(command.Run(ctx, cfg, rt, rest, stdout), stderr)
	}
	return exitCode(p.serve(ctx, cfg, rt), stderr)
}

func (p Program[C]) serve(ctx context.Context, cfg C, rt Runtime) (err error) {
	if rt.Traces, err = trace.New(p.Base(&cfg).Traces, p.Name, rt.Version, rt.Log, rt.Metrics); err != nil {
		return err
	}
	svc, err := p.New(ctx, cfg, rt)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // memory of the start: parsed documents, migrations, the first admin's hash
	return svc.Run(ctx)
}

// find returns the command that args begin with, nil for none, and its arguments.
func (p Program[C]) find(args []string) (*Command[C], []string) {
	for n := len(args); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		if i := slices.IndexFunc(p.Commands, func(c Command[C]) bool { return c.Name == name }); i >= 0 {
			return &p.Commands[i], args[n:]
		}
	}
	return nil, nil
}

func (p Program[C]) usage(flags *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "%s serves until it is told to stop; its settings come from the environment.\n", p.Name)
	flags.PrintDefaults()
	for _, c := range p.Commands {
		fmt.Fprintf(w, "  %s %s\n    \t%s\n", p.Name, c.Name, c.Doc)
	}
}

func exitCode(err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func askReady(ctx context.Context, addr string) error {
	if _, port, _ := net.SplitHostPort(addr); port == "0" {
		return fmt.Errorf("ADMIN_ADDR is %s, any port: -health needs the fixed one that the running process was "+
			"given, such as ADMIN_ADDR=127.0.0.1:9090", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return fmt.Errorf("not ready: %s", body)
	}
	return nil
}

// NewRuntime makes the runtime of one process, logging to w.
func NewRuntime(c Config, w io.Writer) Runtime {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	var h slog.Handler = slog.NewJSONHandler(w, o)
	if c.LogFormat == "text" {
		h = slog.NewTextHandler(w, o)
	}
	return Runtime{Log: slog.New(h), Metrics: prometheus.NewRegistry(), Now: time.Now, Version: Version()}
}

// stamped is set by the linker (-X) where sources are built without their history, as in an image.
var stamped string

// Version returns the version and commit that the binary was built from, "devel" when they are
// unknown.
func Version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	version := strings.Trim(info.Main.Version, "()")
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			version += " " + s.Value[:12]
		}
	}
	return version
}
