package db

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestCopyHasTheSameSpanAsCopyFrom(t *testing.T) {
	t.Parallel()
	to, p, pool := traced(t)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE things (name text PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	one := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x01\x00\x00\x00\x01a" + "\xff\xff")
	ctx, request := p.Serve(t.Context(), "GET", "", false)
	for i, copyOne := range []func(pgx.Tx) error{
		func(tx pgx.Tx) error { return Copy(ctx, tx, "things", []string{"name"}, bytes.NewReader(one)) },
		func(tx pgx.Tx) error { return Copy(ctx, tx, "things", []string{"name"}, bytes.NewReader(one)) },
		func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"name"}, pgx.CopyFromRows([][]any{{"a"}}))
			return err
		},
	} {
		if err := InTx(t.Context(), pool, copyOne); (err == nil) != (i == 0) {
			t.Errorf("copy %d: %v", i, err)
		}
	}
	request.End()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, s := range to.Spans() {
		if s.Name == "COPY public" && s.Attributes["db.query.text"] == "COPY things" {
			reasons[s.Reason]++
		}
	}
	if reasons[""] != 1 || reasons["23505"] != 2 {
		t.Errorf("got spans by their reasons %v, want one without and two 23505", reasons)
	}
}
