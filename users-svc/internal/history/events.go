package history

// The kinds of events in the security history. Lists have the kinds other than Login only on
// request (include_security).
const (
	Login             = "login"
	Logout            = "logout"
	RefreshReuse      = "refresh_reuse"
	SessionEnded      = "session_ended"
	SessionsEnded     = "sessions_ended"
	SessionLimit      = "session_limit"
	PasswordChanged   = "password_changed"
	PasswordReset     = "password_reset"
	PasswordCheck     = "password_check"
	EmailVerified     = "email_verified"
	Banned            = "banned"
	Unbanned          = "unbanned"
	AdminGranted      = "admin_granted"
	AdminRevoked      = "admin_revoked"
	UsernameChanged   = "username_changed"
	EmailChanged      = "email_changed"
	EmailChangeUndone = "email_change_undone" // by the reader of the old address
	EmailUnverified   = "email_unverified"
	DeviceApproved    = "device_approved"
	TokensRevoked     = "tokens_revoked" // by an admin, or by a change that secured the account
)

// The kinds of events about other ways to sign in.
const (
	IdentityLinked   = "identity_linked"
	IdentityUnlinked = "identity_unlinked"
	PasskeyAdded     = "passkey_added"
	PasskeyRemoved   = "passkey_removed"
)

// The kinds of events about the second factor.
const (
	TwoFactorEnabled       = "2fa_enabled"
	TwoFactorDisabled      = "2fa_disabled"
	TwoFactorReset         = "2fa_reset"
	TwoFactorCode          = "2fa_code" // a wrong code
	BackupCodeUsed         = "2fa_backup_code_used"
	BackupCodesRegenerated = "2fa_backup_codes_regenerated"
	TokenGateChanged       = "2fa_token_gate_changed"
)
