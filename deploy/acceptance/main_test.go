package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// scratch is a folder for files that the tests of this run build once.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "realmgate-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	dotenv.RegisterFormat("raw", rawEnv)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// rawEnv reads an env_file in the format raw, which only docker compose itself implements and not
// its library: comments, and lines NAME=value whose value is the rest of the line.
func rawEnv(r io.Reader, _ string, vars map[string]string, _ func(string) (string, bool)) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if name, value, ok := strings.Cut(strings.TrimLeft(lines.Text(), " \t"), "="); ok &&
			!strings.HasPrefix(name, "#") {
			vars[name] = value
		}
	}
	return lines.Err()
}
