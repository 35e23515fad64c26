package vault

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
)

// Values may have tens of megabytes. Therefore bodies are read and answers are written without
// reflection, in one allocation of known size, after memory has been reserved.

// smallBody is the size in bytes up to which a body or a value needs no reservation. The limit on
// connections bounds the memory of these.
const smallBody = 64 << 10

// memoryCopies is the most copies of a large value that exist at the same time: as received,
// sealed, and in the message to or from PostgreSQL.
const memoryCopies = 3

// readBody reads the body of a write, at most max bytes, and reserves memory for a large one. If
// there is no memory, it discards the rest of the body, so that a client that sends everything
// before it reads still receives the refusal.
func readBody(c *fiber.Ctx, reserved *memory.Reservation, max int64) ([]byte, error) {
	body, err := httpx.ReadBody(c, int(max), func(size, most int) error {
		if size <= smallBody {
			return nil
		}
		err := reserved.Grow(c.UserContext(), memoryCopies*int64(most))
		if err != nil {
			_, _ = io.CopyN(io.Discard, c.Context().RequestBodyStream(), int64(most))
		}
		return err
	})
	reserved.ShrinkTo(memoryCopies * int64(cap(body)))
	return body, err
}
