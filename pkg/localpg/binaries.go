package localpg

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest PostgreSQL that the services' SQL supports.
const oldest = 14

// binaries describes a folder with postgres and initdb of one major version.
type binaries struct {
	dir   string
	major int
}

func (b binaries) postgres() string { return filepath.Join(b.dir, "postgres") }
func (b binaries) initdb() string   { return filepath.Join(b.dir, "initdb") }

// findBinaries returns the programs for a data folder of major version want, or when want is 0 the
// first that it finds. It searches PATH, then the folders of packages (newest first), then
// downloads.
func findBinaries(ctx context.Context, o Options, want int, a *account) (binaries, error) {
	if o.BinDir != "" {
		b, err := inspect(ctx, o.BinDir, a)
		if err == nil {
			err = b.fits(want)
		}
		return b, err
	}
	var problem error
	for _, dir := range installed() {
		b, err := inspect(ctx, dir, a)
		if err == nil {
			err = b.fits(want)
		}
		if err == nil {
			return b, nil
		}
		problem = err
	}
	if want != 0 && want != downloadMajor {
		if problem == nil {
			problem = fmt.Errorf("the data folder is of PostgreSQL %d and no PostgreSQL is installed; install that "+
				"version", want)
		}
		return binaries{}, problem
	}
	dir, err := download(o, a)
	if err != nil && problem != nil {
		return binaries{}, fmt.Errorf("%w; what is installed did not fit: %w", err, problem)
	}
	if err != nil {
		return binaries{}, err
	}
	return inspect(ctx, dir, a)
}

func (b binaries) fits(want int) error {
	if b.major < oldest {
		return fmt.Errorf("PostgreSQL %d in %s is too old; install %d or newer", b.major, b.dir, oldest)
	}
	if want != 0 && b.major != want {
		return fmt.Errorf("the data folder is of PostgreSQL %d, but %s holds %d; install PostgreSQL %d, or dump "+
			"the data with it and restore the dump into a new folder", want, b.dir, b.major, want)
	}
	return nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect runs the programs, as the account that will run the server, to read their version.
func inspect(ctx context.Context, dir string, a *account) (binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir: dir}
	for _, program := range []string{b.postgres(), b.initdb()} {
		if info, err := os.Stat(program); err != nil || info.IsDir() {
			return b, fmt.Errorf("%s is missing; install the PostgreSQL server, or give the folder that holds "+
				"postgres and initdb", program)
		}
	}
	out, err := output(a.command(ctx, b.postgres(), "--version"))
	if err != nil {
		return b, fmt.Errorf("user %s cannot run %s (%w); make its folders readable for that user", a, b.postgres(),
			err)
	}
	match := versionPattern.FindStringSubmatch(out)
	if match == nil {
		return b, fmt.Errorf("%s --version says %q, which is no PostgreSQL; give another folder", b.postgres(),
			strings.TrimSpace(out))
	}
	b.major, err = strconv.Atoi(match[1])
	return b, err
}

// packaged lists the folders in which packages install the server; most are not in PATH.
var packaged = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // PostgreSQL's own RPMs
	"/usr/lib/postgresql*/bin",  // SUSE
	"/usr/libexec/postgresql*",  // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/opt/local/lib/postgresql*/bin", // MacPorts
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/usr/local/pgsql/bin", // built from source
}

func installed() []string {
	var dirs []string
	if program, err := exec.LookPath("postgres"); err == nil {
		// A link in PATH points to the folder of initdb and the other programs.
		if real, err := filepath.EvalSymlinks(program); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	var found []string
	for _, pattern := range packaged {
		matches, _ := filepath.Glob(filepath.Join(pattern, "postgres"))
		for _, match := range matches {
			found = append(found, filepath.Dir(match))
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
	return append(dirs, found...)
}

var digits = regexp.MustCompile(`\d+`)

func versionIn(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path))
	return n
}
