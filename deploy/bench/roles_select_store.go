package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/valyala/fasthttp"
)

// serveSelect answers GET /<user>/<key> with the sealed row of a vault item as JSON: the minimal
// service over PostgreSQL. The database is DATABASE_URL.
func serveSelect(addr, _ string) error {
	pool, err := itemPool(context.Background())
	if err != nil {
		return err
	}
	defer pool.Close()
	handle := func(c *fasthttp.RequestCtx) {
		user, key := string(c.QueryArgs().Peek("user")), string(c.QueryArgs().Peek("key"))
		var row item
		if err := row.scan(pool.QueryRow(context.Background(), selectItem, user, "", key)); err != nil {
			c.Error("no such row", fasthttp.StatusNotFound)
			return
		}
		body, err := json.Marshal(map[string]any{"key": key, "value": row.sealed, "size_bytes": row.size,
			"created_at": row.created, "updated_at": row.updated})
		if err != nil {
			c.Error("cannot be written", fasthttp.StatusInternalServerError)
			return
		}
		c.SetContentType("application/json")
		c.SetBody(body)
	}
	return (&fasthttp.Server{Handler: handle, NoDefaultServerHeader: true,
		ReadTimeout: time.Minute}).ListenAndServe(addr)
}
