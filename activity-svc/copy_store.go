package activity

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"
)

const copyActivity = `COPY activity (user_id, id, realm_id, method, path, status, ip_address, user_agent) FROM STDIN BINARY`

// copyIn stores the rows, none of which may be there. pgx's own CopyFrom makes a value of every field and looks for its encoding: a sixth of what this
// service takes for a record.
func copyIn(ctx context.Context, tx pgx.Tx, rows []*record) ([]*record, error) {
	conn := tx.Conn()
	tracer, traced := conn.Config().Tracer.(pgx.CopyFromTracer)
	if traced {
		ctx = tracer.TraceCopyFromStart(ctx, conn, pgx.TraceCopyFromStartData{TableName: pgx.Identifier{"activity"}})
	}
	tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(copyFormat(rows)), copyActivity)
	if traced {
		tracer.TraceCopyFromEnd(ctx, conn, pgx.TraceCopyFromEndData{CommandTag: tag, Err: err})
	}
	return rows, err
}

// copyFormat writes rows as COPY reads them: PostgreSQL, COPY, Binary Format.
func copyFormat(rows []*record) []byte {
	const overhead = 2 + 8*4 + 2 // of a row: how many fields there are, the length of each, the status
	size := 64
	for _, r := range rows {
		size += overhead + len(r.userID) + len(r.id) + len(r.realmID) + len(r.method) + len(r.path) + len(r.ipAddress) + len(r.userAgent)
	}
	b := append(make([]byte, 0, size), "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...) // no flags, no extension
	for _, r := range rows {
		b = binary.BigEndian.AppendUint16(b, 8)
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
