package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	for _, want := range []string{"Wait", "Count", "PASSWORD"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
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

func TestPrintListsEverySetting(t *testing.T) {
	var out strings.Builder
	if err := Print(&out, &settingsWithSecret{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LEVEL", "WAIT", "COUNT", "(required)", "PASSWORD_FILE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table lacks %s:\n%s", want, out.String())
		}
	}
}
