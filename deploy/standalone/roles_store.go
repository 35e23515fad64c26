package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// schemas are the schemas of the services, each owned by the role of the same name.
var schemas = [...]string{"users_svc", "vault_svc", "activity_svc"}

// createRoles creates a role and a schema for each service, so that no service can read another's
// tables, and returns the passwords by schema. It is idempotent. The user of url must own the
// database.
func createRoles(ctx context.Context, url string, dir *dataDir) (map[string]string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "REVOKE ALL ON SCHEMA public FROM PUBLIC"); err != nil {
		return nil, err
	}
	passwords := map[string]string{}
	for _, schema := range schemas {
		password, err := dir.secret("postgres-"+schema, randomText)
		if err != nil {
			return nil, err
		}
		passwords[schema] = password
		if err := createRole(ctx, conn, schema, password); err != nil {
			return nil, fmt.Errorf("%s: %w", schema, err)
		}
	}
	return passwords, nil
}

func createRole(ctx context.Context, conn *pgx.Conn, name, password string) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
		name).Scan(&there); err != nil {
		return err
	}
	role, verb := pgx.Identifier{name}.Sanitize(), "CREATE"
	if there {
		verb = "ALTER"
	}
	// DDL takes no parameters. The password is generated and has letters and digits only.
	if _, err := conn.Exec(ctx, verb+" ROLE "+role+" LOGIN PASSWORD '"+password+"'"); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+role+" AUTHORIZATION "+role)
	return err
}
