package activity

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

var columns = []string{"user_id", "id", "realm_id", "method", "path", "status", "ip_address", "user_agent",
	"auth_id", "request_id", "duration_ms", "auth"}

// copyIn stores the rows, none of which may be there. It encodes them itself, because pgx's
// CopyFrom makes an interface value of each field: a sixth of all that this service does for a
// record.
func copyIn(ctx context.Context, tx pgx.Tx, rows []*record) ([]*record, error) {
	return rows, db.Copy(ctx, tx, "activity", columns, bytes.NewReader(copyFormat(rows)))
}

// copyFormat writes the columns of rows as COPY reads them: PostgreSQL, COPY, Binary Format.
func copyFormat(rows []*record) []byte {
	const overhead = 2 + 12*4 + 2 + 4 + 2 // of a row: how many fields there are, the length of each, the numbers
	size := 64
	for _, r := range rows {
		size += overhead + len(r.userID) + len(r.id) + len(r.realmID) + len(r.method) + len(r.path) + len(r.ipAddress) +
			len(r.userAgent) + len(r.credential.id) + len(r.credential.requestID)
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
		b = r.credential.appendCopyFormat(b)
	}
	return binary.BigEndian.AppendUint16(b, 0xffff) // the end
}

// appendCopyFormat appends the fields auth_id, request_id, duration_ms and auth.
func (c credential) appendCopyFormat(b []byte) []byte {
	const null = math.MaxUint32 // as a length
	for _, field := range [...]string{c.id, c.requestID} {
		if field == "" {
			b = binary.BigEndian.AppendUint32(b, null)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
	}
	if c.kind == kindUnknown {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, null), null)
	}
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(c.durationMS))
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 2), uint16(c.kind))
}

// insertNew stores the rows that are not there and returns them.
func insertNew(ctx context.Context, tx pgx.Tx, rows []*record) ([]*record, error) {
	n := len(rows)
	users, ids, realms := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	methods, paths, statuses, addresses, agents := make([]string, n), make([]string, n), make([]int16, n),
		make([]string, n), make([]string, n)
	authIDs, requestIDs, durations, kinds := make([][]byte, n), make([]*string, n), make([]*int32, n), make([]*int16, n)
	byKey := make(map[string]*record, n)
	for i, r := range rows {
		users[i], ids[i], realms[i] = []byte(r.userID), []byte(r.id), []byte(r.realmID)
		methods[i], paths[i], statuses[i], addresses[i], agents[i] = r.method, r.path, r.status, r.ipAddress, r.userAgent
		if c := &r.credential; c.kind != kindUnknown {
			durations[i], kinds[i] = &c.durationMS, &c.kind
		}
		if r.credential.id != "" {
			authIDs[i] = []byte(r.credential.id)
		}
		if r.credential.requestID != "" {
			requestIDs[i] = &r.credential.requestID
		}
		byKey[r.userID+r.id] = r
	}
	res, err := tx.Query(ctx, `
		INSERT INTO activity (`+strings.Join(columns, ", ")+`)
		SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::smallint[], $7::text[],
			$8::text[], $9::bytea[], $10::text[], $11::integer[], $12::smallint[])
		ON CONFLICT DO NOTHING
		RETURNING user_id, id`, users, ids, realms, methods, paths, statuses, addresses, agents,
		authIDs, requestIDs, durations, kinds)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(res, func(row pgx.CollectableRow) (*record, error) {
		var user, id []byte
		err := row.Scan(&user, &id)
		return byKey[string(user)+string(id)], err
	})
}

// inOrder sorts rows by key, the order in which every replica locks them, and drops those that are
// there twice.
func inOrder(rows []*record) []*record {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b *record) int {
		return cmp.Or(strings.Compare(a.userID, b.userID), strings.Compare(a.id, b.id))
	})
	return slices.CompactFunc(rows, func(a, b *record) bool { return a.userID == b.userID && a.id == b.id })
}
