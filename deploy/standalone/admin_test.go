package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// command runs "standalone words..." with the environment and returns its output.
func command(t *testing.T, environ []string, words ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), words...)
	cmd.Env = append(os.Environ(), environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// passwordIn returns the password in a command's output.
func passwordIn(t *testing.T, said string) string {
	t.Helper()
	_, after, found := strings.Cut(said, "password: ")
	password, _, _ := strings.Cut(after, "\n")
	if !found || password == "" {
		t.Fatalf("no password in %q", said)
	}
	return password
}

func TestAdminsAreCreatedWithAndWithoutARunningProcess(t *testing.T) {
	t.Parallel()
	environ := []string{"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0", "ADMIN_EMAIL=root@example.com"}
	if said, err := command(t, environ, "admin", "create", "-email", "ann@example.com"); err == nil ||
		!strings.Contains(said, "no database yet") {
		t.Errorf("before the first start: %v, %q", err, said)
	}
	p := spawn(t, environ...)
	r := p.client(t)
	said, err := command(t, environ, "admin", "create", "-email", "ann@example.com")
	if err != nil {
		t.Fatal(err, said)
	}
	first := passwordIn(t, said)
	session := r.login("ann@example.com", first)
	r.get("/api/v1/users", session.Token).want(t, "what only an admin may", 200, "")
	if said, err := command(t, environ, "logins", "failed"); err != nil || !strings.Contains(said, "0 of 0 addresses") {
		t.Errorf("failed sign-ins: %v, %q", err, said)
	}
	if said, err = command(t, environ, "admin", "password"); err == nil ||
		!strings.Contains(said, "there are 2 admins") {
		t.Errorf("of two admins: %v, %q", err, said)
	}
	if said, err = command(t, environ, "admin", "password", "-email", "ann@example.com"); err != nil {
		t.Fatal(err, said)
	}
	eventually(t, "the session of the old password has ended",
		func() bool { return r.get("/api/v1/users/me", session.Token).status == 401 })
	r.login("ann@example.com", passwordIn(t, said))
	if info, err := os.Stat(filepath.Join(strings.TrimPrefix(environ[0], "DATA_DIR="), serversFile)); err != nil ||
		info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the servers' addresses: %v, %v", info, err)
	}
	p.interrupt(t)
	if _, err := os.Stat(filepath.Join(strings.TrimPrefix(environ[0], "DATA_DIR="), serversFile)); err == nil {
		t.Error("the file with the servers' addresses is left")
	}

	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("another-Horse-9-staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"admin", "password", "-email", "root@example.com", "-password-file", file},
		{"admin", "create", "-email", "bob@example.com", "-password-file", file},
	} {
		if said, err := command(t, environ, words...); err != nil || strings.Contains(said, "another-Horse") {
			t.Errorf("%v while nothing runs: %v, %q", words, err, said)
		}
	}
	refuseAdminCommands(t, environ)
	again := spawn(t, environ...)
	again.client(t).login("root@example.com", "another-Horse-9-staple")
	again.client(t).login("bob@example.com", "another-Horse-9-staple")
}

// refuseAdminCommands runs commands that name no admin or do not exist, and wants each refused.
func refuseAdminCommands(t *testing.T, environ []string) {
	t.Helper()
	for _, c := range []struct{ words, says string }{
		{"admin password -email nobody@example.com", "no admin has the address nobody@example.com"},
		{"admin password -nonsense", "-nonsense"},
		{"admin remove", `no command "admin remove"`}, {"admin", `no command "admin"`},
	} {
		if said, err := command(t, environ, strings.Fields(c.words)...); err == nil || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, %q", c.words, err, said)
		}
	}
}

// TestTheGreetingNamesAnAdminThatExists starts with a database that has an admin, a new DATA_DIR
// and another ADMIN_EMAIL.
func TestTheGreetingNamesAnAdminThatExists(t *testing.T) {
	t.Parallel()
	key, err := randomKey()
	if err != nil {
		t.Fatal(err)
	}
	database := []string{"DATABASE_URL=" + testkit.Postgres(t), "KEY_ENCRYPTION_KEY=" + key, "GATEWAY_ADDR=127.0.0.1:0"}
	old := spawn(t, append(database, "DATA_DIR="+dataFolder(t), "ADMIN_EMAIL=old@example.com",
		"ADMIN_PASSWORD="+adminPassword)...)
	old.interrupt(t)
	p := spawn(t, append(database, "DATA_DIR="+dataFolder(t))...)
	if !strings.Contains(p.said, "admin     old@example.com\n") || strings.Contains(p.said, "realmgate.local") ||
		strings.Contains(p.said, "password  ") {
		t.Errorf("it says\n%s%s", p.said, p.errors)
	}
}

func TestTheMetricsOfTheFourServicesAreAtFixedPorts(t *testing.T) {
	t.Parallel()
	base := fourPorts(t)
	start(t, fmt.Sprintf("ADMIN_ADDR=127.0.0.1:%d", base))
	for i, name := range []string{"gateway", "users-svc", "vault-svc", "activity-svc"} {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", base+i))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(body), `build_info{service="`+name+`"`) {
			t.Errorf("port %d has not the metrics of %s (%v)", base+i, name, err)
		}
	}
}

// fourPorts returns the first of four consecutive ports that no other test of this process gets.
func fourPorts(t *testing.T) int {
	t.Helper()
	for last, row := 0, 0; ; {
		_, text, _ := net.SplitHostPort(testkit.FreeAddr(t))
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if row++; port != last+1 {
			row = 1
		}
		if last = port; row == 4 {
			return port - 3
		}
	}
}

func TestAMetricsPortInUseIsReplaced(t *testing.T) {
	t.Parallel()
	base := fourPorts(t)
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+2))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	start(t, fmt.Sprintf("ADMIN_ADDR=127.0.0.1:%d", base))
	for _, i := range []int{0, 1, 3} {
		if portFree(fmt.Sprintf("127.0.0.1:%d", base+i)) == nil {
			t.Errorf("port %d is free", base+i)
		}
	}
	cfg, err := load([]string{fmt.Sprintf("ADMIN_ADDR=127.0.0.1:%d", base+2), "DATA_DIR=" + dataFolder(t),
		"GATEWAY_ADDR=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"ADMIN_ADDR=" + cfg.AdminAddr, "DATABASE_URL=" + testkit.Postgres(t)}
	if st, err := newStack(context.WithoutCancel(t.Context()), cfg, environ, t.Output()); err == nil ||
		!strings.Contains(err.Error(), "ADMIN_ADDR") {
		t.Errorf("the gateway's own port is taken: %v", err)
		if err == nil {
			_ = st.close(context.WithoutCancel(t.Context()))
		}
	}
}
