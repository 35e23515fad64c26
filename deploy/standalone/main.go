// Command standalone provides Realmgate as one process: it starts a PostgreSQL, embeds NATS and
// Redis, and runs the four services with real HTTP and NATS connections between them. Start reading
// at run; stack.go puts the parts together.
//
// The services do not know that they share a process. Each is made by the same New as in its own
// binary, from the same settings; only the addresses differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/users-svc"
)

func main() {
	ctx, forget := service.Signals(context.Background())
	defer forget()
	service.SetGCPercent()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main without side effects on the process. It returns 0 after an orderly stop, 1 after a
// failure, 2 for wrong arguments.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("standalone", flag.ContinueOnError)
	flags.SetOutput(stderr)
	showConfig := flags.Bool("config", false,
		"print every setting with its value, where that comes from and what it means, and stop")
	showVersion := flags.Bool("version", false, "print the version and stop")
	secretsDir := flags.String("make-secrets", "",
		"make the secrets of an installation of separate containers in this `folder`, those that are missing, and stop")
	dropOld := flags.Bool("drop-old", false, "with -make-secrets: delete the secrets that only the previous release "+
		"needs")
	shown := flags.String("show", "",
		"with -make-secrets: print the secret of this `name` instead, for example admin-password")
	flags.Usage = func() { usage(flags) }
	err := flags.Parse(args)
	command, rest := findAdminCommand(flags.Args())
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0 && command == nil:
		return misused(stderr, fmt.Sprintf("no command %q: -h lists what there is; without a command standalone starts",
			strings.Join(flags.Args(), " ")))
	case *shown != "" && *secretsDir == "":
		return misused(stderr, "-show needs -make-secrets, which names the folder of the secrets")
	case *dropOld && (*secretsDir == "" || *shown != ""):
		return misused(stderr, "-drop-old needs -make-secrets, which names the folder of the secrets, and no -show")
	case *showConfig:
		return fail(stderr, printSettings(stdout, environ))
	case *showVersion:
		fmt.Fprintln(stdout, "standalone", service.Version())
		return 0
	case *secretsDir != "" && *shown != "":
		return fail(stderr, showSecret(stdout, *secretsDir, *shown))
	case *dropOld:
		return fail(stderr, dropOldSecrets(*secretsDir, environ...))
	case *secretsDir != "":
		return fail(stderr, makeSecrets(*secretsDir, environ...))
	}
	cfg, err := loadAll(environ)
	if err != nil {
		fmt.Fprintf(stderr, "settings are wrong (-config lists them):\n%v\n", err)
		return 2
	}
	if command != nil {
		return fail(stderr, runAdmin(ctx, cfg, environ, command, rest, stdout, stderr))
	}
	return fail(stderr, serve(ctx, cfg, environ, stdout, stderr))
}

func usage(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprintln(w, "standalone serves the whole product until it is told to stop; its settings come from the "+
		"environment.")
	flags.PrintDefaults()
	for _, c := range users.Program().Commands {
		if slices.Contains(adminCommands, c.Name) {
			fmt.Fprintf(w, "  standalone %s\n    \t%s\n", c.Name, c.Doc)
		}
	}
}

func misused(stderr io.Writer, how string) int {
	fmt.Fprintln(stderr, "realmgate:", how)
	return 2
}

func load(environ []string) (Config, error) {
	var cfg Config
	err := config.Load(&cfg, environ)
	return cfg, err
}

func fail(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(stderr, "realmgate:", err)
		return 1
	}
	return 0
}

// serve runs everything until ctx ends.
func serve(ctx context.Context, cfg Config, environ []string, stdout, stderr io.Writer) error {
	st, err := newStack(ctx, cfg, environ, stderr)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // memory that only the start needed
	return st.run(ctx, func() {
		if err := st.greet(ctx, stdout); err != nil {
			fmt.Fprintln(stderr, "realmgate:", err)
		}
	})
}
