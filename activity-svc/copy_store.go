package activity

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

var columns = []string{"user_id", "id", "realm_id", "method", "path", "status", "ip_address", "user_agent"}

// copyIn stores the rows, none of which may be there. With pgx's own CopyFrom their values would be
// a sixth of what this service takes for a record.
func copyIn(ctx context.Context, tx pgx.Tx, rows []*record) ([]*record, error) {
	return rows, db.Copy(ctx, tx, "activity", columns, bytes.NewReader(copyFormat(rows)))
}

// copyFormat writes the columns of rows as COPY reads them: PostgreSQL, COPY, Binary Format.
func copyFormat(rows []*record) []byte {
	const overhead = 2 + 8*4 + 2 // of a row: how many fields there are, the length of each, the status
	size := 64
	for _, r := range rows {
		size += overhead + len(r.userID) + len(r.id) + len(r.realmID) + len(r.method) + len(r.path) + len(r.ipAddress) +
			len(r.userAgent)
	}
	b := append(make([]byte, 0, size), "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...) // no flags, no extension
	for _, r := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
		for _, field := range [...]string{r.userID, r.id, r.realmID, r.method, r.path} {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
		}
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 2), uint16(r.status))
		for _, field := range [...]string{r.ipAddress, r.userAgent} {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
		}
	}
	return binary.BigEndian.AppendUint16(b, 0xffff) // the end
}
