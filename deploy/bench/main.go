// Command bench provides the comparison of Realmgate with its peers and its own targets. It builds
// and starts the product and the servers that it is compared with, drives them in turn with one
// load generator, and writes a table and a picture of ratios. Start reading at measureAll. Each
// group of rows has a file of its own (forward.go, vault.go, …), suite.go measures groups in turn,
// load.go drives a subject.
//
// Everything runs in separate processes on the loopback interface of one machine, and ends with
// this command. Only ratios within a run are meaningful, because all subjects share the CPUs with
// the load generator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/realmgate/realmgate/pkg/freeport"
)

// options are the flags.
type options struct {
	seconds     float64
	rounds      int
	conns       int
	only        *regexp.Regexp
	subjects    *regexp.Regexp
	rows        int
	growthRows  int
	growthUsers int
	results     string
	name        string
	profiles    string
	limit       time.Duration
	cpus        string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleFlag {
		fmt.Fprintln(os.Stderr, "bench:", playRole(os.Args[2:]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is main without side effects on the process. It returns 0 when everything was measured, 1
// after a failure, 2 for wrong arguments. A missed target is no failure: the table shows it.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case !supported:
		fmt.Fprintln(stderr, "bench: CPU time and memory are read from /proc: run it on Linux")
		return 1
	}
	if err := pin(o.cpus); err != nil {
		fmt.Fprintln(stderr, "bench: -cpus:", err)
		return 2
	}
	if err := measureAll(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Float64Var(&o.seconds, "seconds", 0.5, "measured time of one cell; a quarter of it more is warm-up")
	flags.IntVar(&o.rounds, "rounds", 15,
		"how often each subject is measured, in turn with the others: many short rounds meet the same weather on a "+
			"restless machine")
	flags.IntVar(&o.conns, "conns", 64, "connections of the forwarding rows")
	only := flags.String("only", "", "regular expression of the groups to run: "+groupNames())
	subjects := flags.String("subjects", "",
		"regular expression of the subjects to measure, for a closer look at some: targets that need others are not "+
			"measured")
	flags.IntVar(&o.rows, "rows", 1_000_000,
		"rows of the activity log in the group log; the target is written for 20000000")
	flags.IntVar(&o.growthRows, "growth-rows", 1_000_000,
		"most rows of the activity log in the group growth; 100000000 take 50 GB of disk and a quarter of an hour "+
			"or more: -limit")
	flags.IntVar(&o.growthUsers, "growth-users", 10_000, "most users in the group growth")
	flags.StringVar(&o.results, "results", "", "folder of the results (deploy/bench/results)")
	flags.StringVar(&o.name, "name", "latest",
		"name of the results: NAME.md and NAME.svg; another one keeps a run of some groups beside the latest of all")
	flags.StringVar(&o.profiles, "profiles", "",
		"folder, made when missing, for CPU profiles of the services in the first round; the ratios of that round "+
			"suffer")
	flags.DurationVar(&o.limit, "limit", 20*time.Minute, "the run ends after this, whatever is missing")
	flags.StringVar(&o.cpus, "cpus", "", "CPUs for everything, such as 0,1; all by default")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	o.only, err = regexp.Compile(*only)
	if err == nil {
		o.subjects, err = regexp.Compile(*subjects)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return o, err
	}
	if o.seconds <= 0 || o.rounds < 1 || o.conns < 1 || o.rows < 10_000 || o.growthRows < 10_000 || o.growthUsers < 1 ||
		flags.NArg() > 0 {
		err = errors.New("every number must be positive, -rows and -growth-rows at least 10000, and nothing may " +
			"follow the flags")
		fmt.Fprintln(stderr, err)
	}
	return o, err
}

// bench is one run: it holds everything that was started, and stops it.
type bench struct {
	options   options
	dir       string // for all temporary files
	self      string // path of this program
	tools     toolbox
	backing   backing
	product   product
	instances []*instance
	notes     []string
	stderr    io.Writer
	ports     freeport.Ports
	stoppers  []func(context.Context)
}

func (b *bench) say(format string, v ...any) {
	fmt.Fprintf(b.stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, v...))
}

// note adds a sentence below the table.
func (b *bench) note(format string, v ...any) { b.notes = append(b.notes, fmt.Sprintf(format, v...)) }

func (b *bench) onStop(f func(context.Context)) { b.stoppers = append(b.stoppers, f) }

// start runs a server that is stopped at the end of the run.
func (b *bench) start(name, program string, environ []string, args ...string) (*process, error) {
	p, err := start(b.logs(), name, program, environ, args...)
	if err == nil {
		b.onStop(func(context.Context) { p.stop() })
	}
	return p, err
}

func (b *bench) logs() string { return filepath.Join(b.dir, "logs") }

// role runs this program as one of its small servers.
func (b *bench) role(role, addr, upstream string, environ ...string) (*process, error) {
	return b.start(role, b.self, environ, roleFlag, role, addr, upstream)
}

// stop stops everything in reverse order and removes every file.
func (b *bench) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, f := range slices.Backward(b.stoppers) {
		f(ctx)
	}
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(b.stderr, "bench: left behind:", err)
	}
}

// measureAll builds, starts, measures and writes the results.
func measureAll(ctx context.Context, o options, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	b := &bench{options: o, stderr: stderr}
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := repository(wd)
	if err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "realmgate-bench-"); err != nil {
		return err
	}
	defer b.stop()
	// For root, PostgreSQL runs as another user, which must be able to reach its folder: otherwise
	// its data would lie elsewhere and not be removed.
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	b.tools = toolbox{root: root, bin: filepath.Join(b.dir, "bin"), scratch: filepath.Join(b.dir, "scratch"),
		say: b.say}
	folders := []string{b.tools.bin, b.logs()}
	if o.profiles != "" {
		folders = append(folders, o.profiles)
	}
	for _, f := range folders {
		if err := os.MkdirAll(f, 0o755); err != nil {
			return err
		}
	}
	if o.results == "" {
		b.options.results = filepath.Join(root, "deploy", "bench", "results")
	}
	busy, _ := os.ReadFile("/proc/loadavg") // optional: shown to the reader of the report
	began := time.Now()
	outcomes, err := b.runGroups(ctx)
	if err != nil {
		return err
	}
	r := report{outcomes: outcomes, notes: b.notes, options: b.options, began: began, cpus: runtime.NumCPU(),
		redis: b.backing.redisName, busy: loadAverage(busy)}
	return r.write(stdout)
}

// groups returns all groups in the order in which they run. Groups that fill the database come
// last.
func groups() []group {
	return []group{standaloneGroup(), idleGroup(), forwardGroup(), vaultGroup(), vaultAloneGroup(), overloadGroup(),
		signInGroup(), latencyGroup(), ingestGroup(), logGroup(), growthGroup()}
}

func groupNames() string {
	var names string
	for _, g := range groups() {
		names += " " + g.name
		if g.asked {
			names += " (only when named)"
		}
	}
	return names[1:]
}

func (b *bench) runGroups(ctx context.Context) ([]outcome, error) {
	var wanted []group
	for _, g := range groups() {
		if b.options.only.MatchString(g.name) && (!g.asked || b.options.only.String() != "") {
			wanted = append(wanted, g)
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("-only %s matches none of: %s", b.options.only, groupNames())
	}
	if err := b.tools.product(ctx, slices.ContainsFunc(wanted, func(g group) bool { return g.alone })); err != nil {
		return nil, err
	}
	var all []outcome
	for _, g := range wanted {
		if ctx.Err() != nil {
			b.note("%s was not measured: the run ended before (%v).", g.name, context.Cause(ctx))
			continue
		}
		if !g.alone && b.product.gateway == nil {
			if err := b.startAll(ctx); err != nil {
				return nil, err
			}
		}
		o := b.measure(ctx, g)
		if o.failed != nil {
			b.note("%s was not measured: %v.", g.name, o.failed)
		}
		all = append(all, o)
	}
	return all, nil
}

func (b *bench) startAll(ctx context.Context) error {
	b.say("starting PostgreSQL, NATS, Redis and the services")
	if err := b.startBacking(ctx); err != nil {
		return err
	}
	return b.startProduct(ctx)
}
