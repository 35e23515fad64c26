// Command chaos provides the proof that no data is lost when a process dies. It starts the real
// binaries with a real PostgreSQL, nats-server and Redis, each in a process of its own, drives a
// steady load through the gateways, breaks one part after another, and accounts for every request
// at the end. It exits with 1 if it finds a breach.
//
// Start reading at runAll. faults.go lists the faults, ledger.go the rules that the product must
// keep, and account.go the audit of the stored state. Everything listens on the loopback interface,
// lives in a mount namespace of its own and ends with this command.
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
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	rate     int
	hold     time.Duration
	recovery time.Duration
	limit    time.Duration
	only     *regexp.Regexp
	results  string
	keep     bool
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == miniredisRole {
		fmt.Fprintln(os.Stderr, serveMiniredis(os.Args[2]))
		os.Exit(1)
	}
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	if !insideSpace() {
		os.Exit(enterSpace(os.Args[1:], os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	breaches, err := runAll(ctx, o, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || breaches > 0 {
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rate, "rate", 80, "requests a second, at most 200")
	seconds := flags.Float64("seconds", 3, "how long each fault lasts, 0.5 to 30")
	flags.DurationVar(&o.recovery, "recovery", 2*time.Second,
		"after this time from the end of a fault, and the start of what had ended, no request may fail")
	flags.DurationVar(&o.limit, "limit", 10*time.Minute, "the run ends after this, as a failure")
	only := flags.String("only", "",
		"regular expression of the faults to inject; -only list names them. \"revocation\" measures something else")
	flags.StringVar(&o.results, "results", "", "folder of latest.md (deploy/chaos/results); - writes none")
	flags.BoolVar(&o.keep, "keep", false, "leave the folder with the logs of all processes behind")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.hold = time.Duration(*seconds * float64(time.Second))
	var err error
	o.only, err = regexp.Compile(*only)
	if err == nil && (o.rate < 1 || o.rate > 200 || *seconds < 0.5 || *seconds > 30 || o.recovery < 0 ||
		flags.NArg() > 0) {
		err = errors.New("-rate is 1 to 200, -seconds 0.5 to 30, -recovery not negative, and nothing may follow the " +
			"flags")
	}
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
	}
	return o, err
}

// runAll builds, starts, injects faults, audits and writes the table. It returns the number of
// breaches.
func runAll(ctx context.Context, o options, stdout, stderr io.Writer) (int, error) {
	root, err := repository()
	if err != nil {
		return 0, err
	}
	if o.results == "" {
		o.results = filepath.Join(root, "deploy", "chaos", "results")
	}
	dir, err := os.MkdirTemp("", "realmgate-chaos-")
	if err != nil {
		return 0, err
	}
	// For root, PostgreSQL runs as another user, which must be able to reach its folder.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	w := &world{options: o, root: root, dir: dir, stderr: stderr}
	defer w.close()
	if o.only.String() == "list" {
		return 0, w.list(stdout)
	}
	r := &report{began: time.Now(), options: o}
	if err := w.start(ctx); err != nil {
		return 0, err
	}
	r.redis = w.redisName
	if o.only.String() == revocationName {
		r.file = "revocation.md"
		r.revocations, err = w.revocation(ctx)
	} else {
		r.file = "latest.md"
		err = w.breakEverything(ctx, r)
	}
	if err != nil {
		return 0, err
	}
	if o.keep && w.ledger != nil {
		if err := w.ledger.dump(filepath.Join(w.logs(), "requests.tsv")); err != nil {
			return 0, err
		}
	}
	return len(r.breaches()), r.write(stdout)
}

// repository returns the folder of go.work at or above the working folder.
func repository() (string, error) {
	wd, err := os.Getwd()
	for at := wd; err == nil; at = filepath.Dir(at) {
		if _, missing := os.Stat(filepath.Join(at, "go.work")); missing == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			err = fmt.Errorf("no go.work at or above %s: run chaos inside of the repository", wd)
		}
	}
	return "", err
}
