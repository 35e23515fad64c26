package testkit

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/localpg"
)

const (
	startTimeout   = 2 * time.Minute
	queryTimeout   = time.Minute
	folderPrefix   = "realmgate-testkit-"
	abandonedAfter = time.Minute
)

// cluster is the PostgreSQL of one test binary. It is a global variable because all tests of the
// process share it, from the first test that needs it until the end of Main.
type cluster struct {
	enabled bool // Main will stop it

	mu    sync.Mutex
	admin string // its address; "" before the first use
	local *localpg.Cluster
	err   error

	templates []string // names of the databases that a Template made
}

var shared cluster

// Postgres returns the address of a new, empty database for t, with a superuser's rights. It is
// dropped when t ends, even while connections are open. The databases are in one cluster that lives
// as long as the test binary, or in the cluster at TEST_DATABASE_URL.
func Postgres(t testing.TB) string {
	t.Helper()
	return database(t, "template1")
}

// Template is a database that is prepared once for a test binary and copied for each test, because
// a copy takes a fraction of the time of many migrations.
type Template struct {
	// Prepare fills the empty database at url. It closes its connections before it returns.
	Prepare func(url string) error

	once sync.Once
	name string
	err  error
}

// Copy returns the address of a new copy of the template for t, otherwise like [Postgres].
func (tpl *Template) Copy(t testing.TB) string {
	t.Helper()
	tpl.once.Do(func() { tpl.name, tpl.err = shared.prepare(tpl.Prepare) })
	if tpl.err != nil {
		t.Fatalf("testkit: PostgreSQL: prepare a template: %v", tpl.err)
	}
	return database(t, tpl.name)
}

// database creates a database for t as a copy of template and returns its address.
func database(t testing.TB, template string) string {
	t.Helper()
	admin, err := shared.address()
	if err != nil {
		t.Fatalf("testkit: PostgreSQL: %v", err)
	}
	name := newName()
	if err := create(admin, name, template); err != nil {
		t.Fatalf("testkit: PostgreSQL: create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(admin, name); err != nil {
			t.Errorf("testkit: PostgreSQL: drop the database: %v", err)
		}
	})
	address, err := addressOf(admin, name)
	if err != nil {
		t.Fatalf("testkit: TEST_DATABASE_URL: %v", err)
	}
	return address
}

func newName() string { return "test_" + strings.ToLower(rand.Text()[:16]) }

func addressOf(admin, name string) (string, error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

func drop(admin, name string) error {
	return execute(admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

// prepare creates the database of the template, which stop drops.
func (c *cluster) prepare(fill func(url string) error) (name string, err error) {
	admin, err := c.address()
	if err != nil {
		return "", err
	}
	name = newName()
	if err := create(admin, name, "template1"); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.templates = append(c.templates, name)
	c.mu.Unlock()
	address, err := addressOf(admin, name)
	if err != nil {
		return "", err
	}
	return name, fill(address)
}

// create lets PostgreSQL copy the template's files (FILE_COPY). By default PostgreSQL 15 and later
// write the pages to the log, which takes three times as long when nothing is flushed. Older
// versions always copy files and do not know the option.
func create(admin, name, template string) error {
	statement := "CREATE DATABASE " + name + " TEMPLATE " + template
	err := execute(admin, statement+" STRATEGY file_copy")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42601" {
		err = execute(admin, statement)
	}
	return err
}

// execute uses a connection of its own, so that no goroutine of a pool is taken for a leak of the
// test.
func execute(address, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func (c *cluster) address() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.admin != "" || c.err != nil {
		return c.admin, c.err
	}
	if given := os.Getenv("TEST_DATABASE_URL"); given != "" {
		c.admin = given
		return c.admin, nil
	}
	if !c.enabled {
		return "", errors.New("nobody would stop it; add to the tests: func TestMain(m *testing.M) { testkit.Main(m) }")
	}
	c.err = c.start()
	return c.admin, c.err
}

func (c *cluster) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	removeAbandoned(ctx)
	dir, err := os.MkdirTemp(tempDir(), folderPrefix)
	if err != nil {
		return err
	}
	// No test owns the cluster, so its log goes to standard error, and only lines that are worse
	// than a refused session.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	c.local, err = localpg.Start(ctx, localpg.Options{Dir: dir, Settings: localpg.Disposable(), Log: log})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	c.admin = c.local.URL("postgres")
	return cheapenLogin(c.admin)
}

// cheapenLogin stores the password of address with one hash iteration instead of 4,096, which with
// the race detector would cost milliseconds for each connection.
func cheapenLogin(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	password, _ := u.User.Password()
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	return execute(address, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", pgx.Identifier{u.User.Username()}.Sanitize(),
		verifier))
}

// scramVerifier returns the form in which PostgreSQL stores a password (RFC 5803), with one
// iteration.
func scramVerifier(password string) (string, error) {
	salt := []byte(rand.Text())
	salted, err := pbkdf2.Key(sha256.New, password, salt, 1, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return "SCRAM-SHA-256$1:" + text(salt) + "$" + text(stored[:]) + ":" + text(sign("Server Key")), nil
}

func (c *cluster) stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local != nil {
		return c.local.Remove(ctx)
	}
	var err error
	for _, name := range c.templates {
		err = errors.Join(err, drop(c.admin, name))
	}
	return err
}

// tempDir returns a folder in memory when there is one with room and TMPDIR is not set. A new
// database is 7 MB of dirty pages, and once the kernel makes their writers wait for the disk,
// creating one takes ten times as long.
func tempDir() string {
	if os.Getenv("TMPDIR") == "" && hasRoom(memoryDir) {
		return memoryDir
	}
	return os.TempDir()
}

// removeAbandoned removes the folders of test runs that were killed. A folder that another run uses
// is locked, except in its first moments, so young folders stay.
func removeAbandoned(ctx context.Context) {
	folders, _ := filepath.Glob(filepath.Join(tempDir(), folderPrefix+"*"))
	for _, folder := range folders {
		if info, err := os.Stat(folder); err == nil && time.Since(info.ModTime()) > abandonedAfter {
			// An error means that the folder is in use, or belongs to another user.
			_ = localpg.Remove(ctx, folder, slog.New(slog.DiscardHandler))
		}
	}
}
