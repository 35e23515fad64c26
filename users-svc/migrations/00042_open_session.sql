-- +goose Up

-- open_session takes the place of sign_in, which the previous release still calls. It differs in
-- two ways. A user who has p_most live sessions gets no further one: the outcome is "full", and the
-- caller ends the oldest first. And sign-ins of one user wait for each other, so that many at once
-- cannot pass the bound together.
-- +goose StatementBegin
CREATE FUNCTION open_session(
    p_user text, p_trusted text, p_owed bytea, p_owed_until timestamptz, p_throttle bytea, p_now timestamptz,
    p_session text, p_expires timestamptz, p_max timestamptz, p_refresh bytea, p_salt bytea,
    p_history text, p_address text, p_address_key text, p_user_agent text, p_client text, p_most int,
    OUT o_outcome text, OUT o_updated timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    banned boolean;
    hash   text;
BEGIN
    SELECT is_banned, password_hash, updated_at INTO banned, hash, o_updated
    FROM users WHERE id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        o_outcome := 'unknown';
        RETURN;
    END IF;
    IF p_throttle IS NOT NULL THEN
        DELETE FROM login_throttle WHERE key = p_throttle;
    END IF;
    IF banned THEN
        o_outcome := 'banned';
        RETURN;
    ELSIF p_trusted <> '' AND p_trusted <> hash THEN
        o_outcome := 'changed';
        RETURN;
    ELSIF p_owed IS NOT NULL AND EXISTS (SELECT FROM two_factor WHERE user_id = p_user AND enabled_at IS NOT NULL) THEN
        INSERT INTO two_factor_logins (hash, user_id, password_hash, expires_at)
        VALUES (p_owed, p_user, hash, p_owed_until);
        o_outcome := 'owes_code';
        RETURN;
    ELSIF (SELECT count(*) FROM (
            SELECT FROM sessions WHERE user_id = p_user AND ended_at IS NULL AND expires_at > p_now LIMIT p_most) live) = p_most THEN
        o_outcome := 'full';
        RETURN;
    END IF;
    INSERT INTO sessions (id, user_id, created_at, last_seen_at, expires_at, max_at, ip_address, user_agent, client)
    VALUES (p_session, p_user, p_now, p_now, p_expires, p_max, p_address, p_user_agent, p_client);
    INSERT INTO refresh_tokens (hash, session_id, salt, created_at) VALUES (p_refresh, p_session, p_salt, p_now);
    INSERT INTO login_history (id, user_id, event, failed, security, ip_address, address_key, client, created_at)
    VALUES (p_history, p_user, 'login', false, false, p_address, p_address_key, p_client, p_now);
    o_outcome := 'opened';
END $$;
-- +goose StatementEnd
