// Command picture owns the pictures of the dashboards in the documentation: it reads the dashboards
// that Grafana is provisioned with, asks a running Prometheus what each panel would ask, and draws
// the answers, one PNG a dashboard. Start reading at command; dashboard.go is what a dashboard
// says, query.go what Prometheus answers, draw.go and chart.go what is drawn.
//
// It is no Grafana, and its pictures say so. Besides being looked at, they hold the dashboards: a
// query that Prometheus refuses makes it fail.
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
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// options are the flags.
type options struct {
	prometheus, dashboards, out string
	from, to                    time.Time
	scrape                      time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is main without the process: 0 when every dashboard was drawn, 1 after a failure, 2 when
// it was called wrongly.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := o.run(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "picture:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var from, to string
	var span time.Duration
	f := flag.NewFlagSet("picture", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.prometheus, "prometheus", "http://127.0.0.1:9090", "`address` of Prometheus")
	f.StringVar(&o.dashboards, "dashboards", "deploy/grafana/dashboards", "`folder` of the dashboards")
	f.StringVar(&o.out, "out", "deploy/docs/pictures", "`folder` to write the pictures to")
	f.StringVar(&from, "from", "", "begin, as 2006-01-02T15:04:05Z; by default -range before -to")
	f.StringVar(&to, "to", "", "end, likewise; by default now")
	f.DurationVar(&span, "range", 15*time.Minute, "how much to show when -from is not given")
	f.DurationVar(&o.scrape, "scrape", 15*time.Second, "Prometheus' scrape interval")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	err := o.period(from, to, span)
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(stderr, "picture:", err)
	}
	return o, err
}

// period sets what is shown. An end that is not given is the last whole minute, which makes round
// labels.
func (o *options) period(from, to string, span time.Duration) error {
	o.to = time.Now().UTC().Truncate(time.Minute)
	var err error
	if to != "" {
		if o.to, err = time.Parse(time.RFC3339, to); err != nil {
			return fmt.Errorf("-to: %w", err)
		}
	}
	o.from = o.to.Add(-span)
	if from != "" {
		if o.from, err = time.Parse(time.RFC3339, from); err != nil {
			return fmt.Errorf("-from: %w", err)
		}
	}
	if o.scrape < time.Second || o.to.Sub(o.from) < 2*o.scrape {
		return fmt.Errorf("nothing to show between %s and %s with a scrape interval of %s", o.from, o.to, o.scrape)
	}
	return nil
}

// run asks everything first, so that a failure leaves no half of the pictures new.
func (o options) run(ctx context.Context, stdout, stderr io.Writer) error {
	paths, err := filepath.Glob(filepath.Join(o.dashboards, "*.json"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no dashboards in %s", o.dashboards)
	}
	client, err := api.NewClient(api.Config{Address: o.prometheus})
	if err != nil {
		return err
	}
	asker := newAsker(v1.NewAPI(client), o, stderr)
	boards := make([]*dashboard, 0, len(paths))
	var failures []error
	for _, path := range paths {
		board, err := readDashboard(path)
		if err == nil {
			err = asker.fill(ctx, board)
		}
		failures = append(failures, err)
		boards = append(boards, board)
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return o.write(boards, asker.caption(), stdout)
}

func (o options) write(boards []*dashboard, caption string, stdout io.Writer) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	for _, board := range boards {
		raw, err := board.draw(caption)
		if err != nil {
			return fmt.Errorf("draw %s: %w", board.file, err)
		}
		path := filepath.Join(o.out, strings.TrimSuffix(board.file, ".json")+".png")
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			return err
		}
		empty := board.empty()
		fmt.Fprintf(stdout, "%s: %d panels, %d KB", path, board.drawn(), (len(raw)+1023)/1024)
		if len(empty) > 0 {
			fmt.Fprintf(stdout, "; no data: %s", strings.Join(empty, ", "))
		}
		fmt.Fprintln(stdout)
	}
	return nil
}
