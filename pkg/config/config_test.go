package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type Base struct {
	Level string `env:"LEVEL" envDefault:"info" doc:"How much to log."`
}

type settingsWithSecret struct {
	Base
	Wait     time.Duration `env:"WAIT" envDefault:"5s" doc:"How long to wait."`
	Count    int           `env:"COUNT" envDefault:"3" doc:"How many."`
	Password Secret        `env:"PASSWORD,required" doc:"The password."`
}

func TestLoadReportsEveryProblemAtOnce(t *testing.T) {
	err := Load(&settingsWithSecret{}, []string{"WAIT=soon", "COUNT=many"})
	for _, want := range []string{"WAIT", "COUNT", "PASSWORD"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// part and whole have fields of one name and one type each.
type part struct {
	Timeout time.Duration `env:"PART_TIMEOUT" envDefault:"1s" doc:"How long the part may take."`
}

type whole struct {
	Part    part
	Timeout time.Duration `env:"WHOLE_TIMEOUT" envDefault:"2s" doc:"How long the whole may take."`
	On      bool          `env:"ON" doc:"Whether."`
	Lanes   uint8         `env:"LANES" envDefault:"1" doc:"How many."`
	Most    int32         `env:"MOST" envDefault:"1" doc:"Most."`
	Level   slog.Level    `env:"LOUD" envDefault:"info" doc:"How loud."`
	Colour  colour        `env:"COLOUR" envDefault:"red" doc:"Which."`
}

type colour string

func (c *colour) UnmarshalText(text []byte) error {
	if *c = colour(text); *c != "red" {
		return errors.New("only red will do")
	}
	return nil
}

func TestTheErrorOfAWrongSettingShowsTheRightForm(t *testing.T) {
	for set, want := range map[string]string{
		"WHOLE_TIMEOUT=10": `WHOLE_TIMEOUT: "10" is not a duration such as 500ms, 30s or 1h30m`,
		"PART_TIMEOUT=10":  `PART_TIMEOUT: "10" is not a duration such as 500ms, 30s or 1h30m`,
		"ON=perhaps":       `ON: "perhaps" is not true or false`,
		"LANES=256":        `LANES: "256" is not a whole number from 0 to 255`,
		"MOST=1.5":         `MOST: "1.5" is not a whole number of at most 2147483647`,
		"LOUD=very":        `LOUD: "very" is not debug, info, warn or error`,
		"COLOUR=blue":      `COLOUR: only red will do`,
	} {
		if err := Load(&whole{}, []string{set}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", set, err, want)
		}
	}
	var w whole
	if err := Load(&w, []string{"WHOLE_TIMEOUT=3s", "LANES=255", "MOST=-1", "ON=true"}); err != nil {
		t.Fatal(err)
	}
	if want := (whole{Part: part{time.Second}, Timeout: 3 * time.Second, On: true, Lanes: 255, Most: -1,
		Colour: "red"}); w != want {
		t.Errorf("loaded %+v, want %+v", w, want)
	}
}

// TestAQuotedValueIsRefused covers environment files, whose values no shell unquotes.
func TestAQuotedValueIsRefused(t *testing.T) {
	for _, set := range []string{`PASSWORD='Pa$w0rd#12'`, `PASSWORD="Pa$w0rd#12"`, `LEVEL="info"`, `WAIT='5s'`,
		`PASSWORD_FILE="/secrets/password"`} {
		name, _, _ := strings.Cut(set, "=")
		err := Load(&settingsWithSecret{}, []string{"PASSWORD=s3cret", set})
		if err == nil || !strings.HasPrefix(err.Error(), name+" begins and ends with a quotation mark") ||
			strings.Contains(err.Error(), "Pa$") {
			t.Errorf("%s: %v", set, err)
		}
	}
	for _, password := range []string{`"`, `'tis`, `Pa$w0rd#12`, `a"b"`, `"a'`, ` "a" b`} {
		var c settingsWithSecret
		if err := Load(&c, []string{"PASSWORD=" + password}); err != nil || c.Password.Reveal() != password {
			t.Errorf("%s: %v, %q", password, err, c.Password.Reveal())
		}
	}
}

func TestSecretComesFromAFileAndIsNeverPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c settingsWithSecret
	if err := Load(&c, []string{"PASSWORD_FILE=" + path, "LEVEL=debug"}); err != nil {
		t.Fatal(err)
	}
	if c.Password.Reveal() != "s3cret" || c.Level != "debug" || c.Wait != 5*time.Second {
		t.Fatalf("loaded %q, %q, %v", c.Password.Reveal(), c.Level, c.Wait)
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), string(asJSON)} {
		if strings.Contains(shown, "s3cret") {
			t.Errorf("the secret shows in %s", shown)
		}
	}
}

func TestAnEmptyValueIsNotSet(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "PASSWORD_FILE=" + path
	}
	for _, c := range []struct {
		name    string
		environ []string
		says    string // "" for a password that is s3cret
	}{
		{"an empty variable", []string{"PASSWORD="}, "PASSWORD is required and not set"},
		{"an empty name of a file", []string{"PASSWORD_FILE="}, "PASSWORD is required and not set"},
		{"an empty name of a file beside the secret", []string{"PASSWORD=s3cret", "PASSWORD_FILE="}, ""},
		{"an empty variable beside a file", []string{"PASSWORD=", file("s3cret\n")}, ""},
		{"an empty duration", []string{"PASSWORD=s3cret", "WAIT="}, ""},
		{"the same twice", []string{"PASSWORD=s3cret", file("s3cret")}, ""},
		{"two that differ", []string{"PASSWORD=s3cret", file("another")},
			"PASSWORD and PASSWORD_FILE are both set and differ"},
		{"an empty file", []string{file("\n")}, "PASSWORD is required, and the file "},
		{"an empty file beside the secret", []string{"PASSWORD=s3cret", file("")}, ""},
		{"no such file", []string{"PASSWORD_FILE=/does/not/exist"},
			"PASSWORD_FILE: cannot open the file: no such file or directory"},
	} {
		var s settingsWithSecret
		err := Load(&s, c.environ)
		if c.says == "" && (err != nil || s.Password.Reveal() != "s3cret" || s.Wait != 5*time.Second) {
			t.Errorf("%s: %v, %q, %v", c.name, err, s.Password.Reveal(), s.Wait)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) ||
			strings.Contains(err.Error(), "\n") ||
			strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v, want one line with %q", c.name, err, c.says)
		}
	}
}

func TestEveryProblemIsReportedEvenWhenOneSettingCannotBeParsed(t *testing.T) {
	err := Load(&checkedSettings{}, []string{"CHECKED_WAIT=soon", "CHECKED_COUNT=-1"})
	want := "CHECKED_WAIT: \"soon\" is not a duration such as 500ms, 30s or 1h30m\nCHECKED_COUNT must be positive"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want\n%s", err, want)
	}
}

type checkedSettings struct {
	Wait  time.Duration `env:"CHECKED_WAIT" envDefault:"5s" doc:"How long to wait."`
	Count int           `env:"CHECKED_COUNT" envDefault:"3" doc:"How many."`
}

func (c checkedSettings) Validate() error {
	var p Problems
	p.Must(c.Wait > 0, "CHECKED_WAIT must be above 0s")
	p.Must(c.Count > 0, "CHECKED_COUNT must be positive")
	return p.Err()
}

type printedSettings struct {
	settingsWithSecret
	Broker  Secret `env:"BROKER_URL" envDefault:"nats://127.0.0.1:4222" doc:"The broker."`
	Traces  string `env:"TRACES_URL" doc:"Where traces go."`
	Origins string `env:"ORIGINS" doc:"Who may call. It is a long story, which does not fit into a line of a hundred and twenty columns, and so it is continued."`
}

func TestRemovedSettingIsConstantAndReported(t *testing.T) {
	t.Parallel()
	var cfg struct {
		Inner struct {
			Wait time.Duration `removed:"INNER_WAIT" envDefault:"20ms"`
		}
		Size int `env:"SIZE" envDefault:"3"`
	}
	environ := []string{"INNER_WAIT=5s", "SIZE=4"}
	if err := Load(&cfg, environ); err != nil || cfg.Inner.Wait != 20*time.Millisecond || cfg.Size != 4 {
		t.Errorf("loaded %+v, %v; want the constant and the setting", cfg, err)
	}
	want := []string{"INNER_WAIT is no setting any more and has no effect: the value is 20ms"}
	if got := Removed(&cfg, environ); !slices.Equal(got, want) {
		t.Errorf("removed: got %q, want %q", got, want)
	}
	if got := Removed(&cfg, []string{"SIZE=4", "INNER_WAIT="}); got != nil {
		t.Errorf("removed, with none set: %q", got)
	}
	if got := Settings(&cfg); len(got) != 1 || got[0].Name != "SIZE" {
		t.Errorf("settings: got %+v, want SIZE only", got)
	}
}

func TestPrintShowsTheValueInForceAndItsSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("Hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		environ []string
		lines   []string
	}{
		{"nothing is set", nil, []string{
			"LEVEL = info  (default)", "WAIT = 5s  (default)", "PASSWORD = (required)  (default)",
			"BROKER_URL = nats://127.0.0.1:4222  (default)",
			"TRACES_URL = (none)  (default)", "    The password. Or PASSWORD_FILE.",
		}},
		{"the environment", []string{
			"WAIT=1m", "COUNT=many", "PASSWORD=Hunter2", "BROKER_URL=nats://u:Hunter2@h",
			"TRACES_URL=https://u:Hunter2@h/x?key=Hunter2", "LEVEL=",
		}, []string{
			"LEVEL = info  (default)", "WAIT = 1m  (env)", "COUNT = many  (env)", "PASSWORD = [hidden]  (env)",
			"BROKER_URL = [hidden]  (env)",
			"TRACES_URL = https://[hidden]@h/x?[hidden]  (env)", "    How long to wait. Default: 5s.",
		}},
		{"a file", []string{"PASSWORD_FILE=" + path}, []string{"PASSWORD = [hidden]  (file)"}},
		{"a file that is the secret", []string{"PASSWORD_FILE=Hunter2"}, []string{"PASSWORD = (unreadable)  (file)"}},
		{"a long list", []string{"ORIGINS=" + strings.Repeat("https://a.example,", 20)}, []string{"ORIGINS = (env)"}},
	} {
		var out strings.Builder
		if err := Print(&out, &printedSettings{}, c.environ); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		for _, want := range c.lines {
			if !slices.Contains(lines, want) {
				t.Errorf("%s: no line %q in\n%s", c.name, want, out.String())
			}
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > 120 || strings.Contains(line, "Hunter2") {
				t.Errorf("%s: the line %q", c.name, line)
			}
		}
	}
}
