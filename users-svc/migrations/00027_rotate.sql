-- +goose Up

-- rotate replaces a refresh token by its successor, or says why it does not. It is a function for the reason that sign_in is one: of the statements
-- below each had a way of its own to the database and back.
--
-- The user's row is locked first, as everywhere, and against changes: a ban cannot slip in between. Refreshes of one session queue up at its row. Each
-- statement in here has a snapshot of its own (READ COMMITTED), so that the token is seen as the refresh before this one left it.
--
-- o_outcome says what became of it: "rotated", or why not: "unknown" session or token, deleted meanwhile; "ended" session; "expired"; "reused": the
-- token was replaced before p_good; "banned"; "replaced": the token was replaced since, and whoever holds it is given what the chain has come to.
-- o_expires is when the session ends then.
-- +goose StatementBegin
CREATE FUNCTION rotate(
    p_user text, p_session text, p_token bytea, p_next bytea, p_salt bytea, p_now timestamptz, p_good timestamptz, p_expires timestamptz,
    OUT o_outcome text, OUT o_expires timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    banned   boolean;
    ended    timestamptz;
    replaced timestamptz;
BEGIN
    SELECT is_banned INTO banned FROM users WHERE id = p_user FOR SHARE;
    SELECT ended_at, expires_at INTO ended, o_expires FROM sessions WHERE id = p_session FOR UPDATE;
    SELECT replaced_at INTO replaced FROM refresh_tokens WHERE hash = p_token;
    o_outcome := CASE
        WHEN NOT FOUND THEN 'unknown' -- and so is a token whose session or user is gone
        WHEN ended IS NOT NULL THEN 'ended'
        WHEN o_expires <= p_now THEN 'expired'
        WHEN replaced < p_good THEN 'reused'
        WHEN banned THEN 'banned'
        WHEN replaced IS NOT NULL THEN 'replaced'
        ELSE 'rotated'
    END;
    IF o_outcome <> 'rotated' THEN
        RETURN;
    END IF;
    o_expires := p_expires;
    UPDATE refresh_tokens SET replaced_at = p_now WHERE hash = p_token;
    INSERT INTO refresh_tokens (hash, session_id, salt, created_at) VALUES (p_next, p_session, p_salt, p_now);
    UPDATE sessions SET expires_at = p_expires, last_seen_at = p_now WHERE id = p_session;
END $$;
-- +goose StatementEnd
