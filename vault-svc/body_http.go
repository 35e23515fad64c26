package vault

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
)

// Values may be tens of megabytes. Bodies are therefore read, and answers written, without
// reflection, in one allocation of the known size, and after memory has been reserved.

// smallBody is the size in bytes up to which bodies and values are not accounted: the limit of
// connections bounds them.
const smallBody = 64 << 10

// memoryCopies is how many copies of a large value exist at the same time at most: as received,
// sealed, and in the message to or from PostgreSQL.
const memoryCopies = 3

// readBody reads the body of a write, at most max bytes, and reserves memory for a large one. When
// there is no memory, it reads the rest of the body away, so that a client that listens only after
// it has sent everything receives the refusal.
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
