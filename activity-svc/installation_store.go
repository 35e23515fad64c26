package activity

import "context"

// installation names what is ours on a NATS server that others use as well.
type installation struct {
	id string
	// upgraded says that a release before the id wrote to this database, and to a stream without an
	// id.
	upgraded bool
}

func (s *store) installation(ctx context.Context) (i installation, err error) {
	return i, s.pool.QueryRow(ctx, `SELECT id, upgraded FROM installation`).Scan(&i.id, &i.upgraded)
}
