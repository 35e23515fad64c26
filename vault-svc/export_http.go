package vault

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
)

func (h *handler) export(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err != nil {
		return err
	}
	in := keyrange.Of(s.keys, string(c.Context().QueryArgs().Peek("prefix")))
	// What fails before the first byte is still an ordinary error.
	if _, err := h.vault.items.Keys(c.UserContext(), s.user, s.realm, in, 1); err != nil {
		return err
	}
	reserved := h.memory.For(s.user)
	return httpx.Stream(c, "application/x-ndjson", func(ctx context.Context, w *httpx.StreamWriter) error {
		n := 0
		err := h.vault.Export(ctx, s, in, reserved, func(info Info, value []byte) error {
			n++
			quoted, err := quote(value)
			if err != nil {
				return err
			}
			if len(value) > smallBody { // it is the only one of its chunk
				reserved.ShrinkTo(int64(cap(quoted)))
			}
			if _, err := w.Write(append(appendItemHead(nil, info), `"value":`...)); err != nil {
				return err
			}
			if _, err := w.Write(quoted); err != nil {
				return err
			}
			_, err = w.Write(append(appendItemTail([]byte{','}, info), '\n'))
			return err
		})
		if err != nil {
			return err
		}
		_, err = w.Write([]byte(`{"complete":true,"count":` + strconv.Itoa(n) + "}\n"))
		return err
	})
}
