package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type peer struct {
	URL   string `env:"URL,required" doc:"Where it is."`
	Token Secret `env:"TOKEN" doc:"The token."`
	Tries int    `env:"TRIES" envDefault:"3" doc:"How often."`
}

type withPeers struct {
	Peers map[string]peer `group:"PEER_"`
}

func TestGroupHasAnEntryForEachName(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var cfg withPeers
	environ := []string{"PEER_A_URL=a", "PEER_A_B_URL=b", "PEER_A_B_TRIES=7", "PEER_A_B_TOKEN_FILE=" + file,
		"PEER_COUNT=3", "PEER_X_URL="}
	if err := Load(&cfg, environ); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Peers) != 2 || cfg.Peers["a"] != (peer{"a", "", 3}) || cfg.Peers["a_b"] != (peer{"b", "s3cret", 7}) {
		t.Errorf("got %+v", cfg.Peers)
	}
	names := func(settings []Setting) (out []string) {
		for _, s := range settings {
			out = append(out, s.Name+"="+s.Value)
		}
		return out
	}
	want := []string{"PEER_A_URL=a", "PEER_A_TOKEN=(none)", "PEER_A_TRIES=3",
		"PEER_A_B_URL=b", "PEER_A_B_TOKEN=[hidden]", "PEER_A_B_TRIES=7"}
	if got := names(Effective(&cfg, environ)); !slices.Equal(got, want) {
		t.Errorf("effective: got %v, want %v", got, want)
	}
	want = []string{"PEER_<NAME>_URL=", "PEER_<NAME>_TOKEN=", "PEER_<NAME>_TRIES="}
	if got := names(Settings(&cfg)); !slices.Equal(got, want) {
		t.Errorf("settings: got %v, want %v", got, want)
	}
	if cfg = (withPeers{}); Load(&cfg, nil) != nil || cfg.Peers != nil {
		t.Errorf("without entries: got %+v", cfg)
	}
}

func TestMistakesInAGroupAreNamed(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"PEER_A_TRIES=2":                "PEER_A_URL is required and not set",
		"PEER_A_URL=a PEER_A_TRIES=two": `PEER_A_TRIES: "two" is not a whole number`,
		"PEER_A_URL=a PEER_A_TRYS=2":    "PEER_A_TRYS is no setting: those of PEER_A end in _URL, _TOKEN, _TOKEN_FILE, _TRIES",
		"PEER_A_URL='a'":                "PEER_A_URL begins and ends with a quotation mark",
	} {
		err := Load(&withPeers{}, strings.Fields(environ))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line that begins with %q", environ, err, want)
		}
	}
}
