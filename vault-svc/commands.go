package vault

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// commands returns the commands of the binary. They replace the key-encryption key while the
// service runs: run keys add and give its keyset to every replica, run keys promote and give its
// keyset to every replica, then run keys rotate. After that the old key may be removed from the
// keyset.
func commands() []service.Command[Config] {
	return []service.Command[Config]{
		{Name: "keys generate", Doc: "Print a new keyset for VAULT_KEY_ENCRYPTION_KEY.", Bare: true, Run: keysGenerate},
		{Name: "keys add", Doc: "Print VAULT_KEY_ENCRYPTION_KEY with one more key, which unwraps only.", Bare: true,
			Run: edited((*sealing.Keyset).Add)},
		{Name: "keys promote", Doc: "Print VAULT_KEY_ENCRYPTION_KEY with its newest key as the one that wraps.",
			Bare: true, Run: edited((*sealing.Keyset).Promote)},
		{Name: "keys wrap", Doc: "Print the clear keyset in VAULT_KEY_ENCRYPTION_KEY wrapped by VAULT_KMS_URI.",
			Bare: true, Run: keysWrap},
		{Name: "keys rotate", Run: keysRotate,
			Doc: "Wrap all data keys with the primary key of VAULT_KEY_ENCRYPTION_KEY while the service runs."},
		{Name: "verify", Run: verifyAll,
			Doc: "Open every item and compare every account with its items; exit 1 when anything is wrong."},
	}
}

// GenerateKeyset returns a new keyset for VAULT_KEY_ENCRYPTION_KEY. The keyset is secret.
func GenerateKeyset() (string, error) {
	keyset, err := sealing.GenerateKeyset()
	if err != nil {
		return "", err
	}
	return keyset.Reveal()
}

type commandFunc = func(context.Context, Config, service.Runtime, []string, io.Writer) error

func keysGenerate(_ context.Context, cfg Config, _ service.Runtime, _ []string, out io.Writer) error {
	kek, err := sealing.GenerateKeyset()
	if err != nil {
		return err
	}
	return printKeyset(cfg, kek, out)
}

func keysWrap(_ context.Context, cfg Config, _ service.Runtime, _ []string, out io.Writer) error {
	kek, err := sealing.ParseKeyset(cfg.KeyEncryption.Reveal())
	if err != nil {
		return fmt.Errorf("VAULT_KEY_ENCRYPTION_KEY: %w", err)
	}
	if cfg.KMS.URI == "" {
		return errors.New("VAULT_KMS_URI names nothing to wrap it with")
	}
	return printKeyset(cfg, kek, out)
}

// edited returns a command that applies edit to the configured keyset and prints the result.
func edited(edit func(*sealing.Keyset) (*sealing.Keyset, error)) commandFunc {
	return func(_ context.Context, cfg Config, _ service.Runtime, _ []string, out io.Writer) error {
		kek, err := cfg.keyset()
		if err != nil {
			return err
		}
		if kek, err = edit(kek); err != nil {
			return err
		}
		return printKeyset(cfg, kek, out)
	}
}

func printKeyset(cfg Config, kek *sealing.Keyset, out io.Writer) error {
	text, err := cfg.reveal(kek)
	if err == nil {
		_, err = fmt.Fprintln(out, text)
	}
	return err
}

func keysRotate(ctx context.Context, cfg Config, _ service.Runtime, _ []string, out io.Writer) error {
	return withKeys(ctx, cfg, func(keys *sealing.Keys, _ *db.Pool) error { return keys.Rotate(ctx, out) })
}

func verifyAll(ctx context.Context, cfg Config, _ service.Runtime, _ []string, out io.Writer) error {
	return withKeys(ctx, cfg, func(keys *sealing.Keys, pool *db.Pool) error {
		return verify(ctx, store.New(pool), keys, out)
	})
}

// withKeys opens the database and the data keys for f. Statements have no timeout, because these
// commands read all rows.
func withKeys(ctx context.Context, cfg Config, f func(*sealing.Keys, *db.Pool) error) error {
	cfg.DB.Timeout, cfg.DB.MaxConns = 0, max(cfg.DB.MaxConns, 2) // verify loads keys while it reads items
	pool, err := db.Open(ctx, cfg.DB, schema, nil, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	keys, err := openKeys(cfg, pool)
	if err != nil {
		return err
	}
	return f(keys, pool)
}
