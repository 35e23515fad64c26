package apitoken

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/permission"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Bounds of the fields of a token. The realms are in a header of every request of the token, so
// they must fit into a header.
const (
	maxRealms        = 100
	maxAddresses     = 200
	maxAddressText   = 64       // characters of one entry
	maxExpiryText    = 256      // bytes of JSON; every valid time is shorter, even with all characters escaped
	maxPublicStorage = 64 << 10 // bytes of compact JSON
)

var aliasPattern = regexp.MustCompile(`^[a-zA-Z0-9 _-]{1,254}$`)

// tokenPatch holds the fields of a token that a request sent.
type tokenPatch struct {
	set       map[string]func(*Token) // by field: applies its value to a token
	proof     request.Proof           // of the user, not of the token
	ruleError *apperr.Error           // of the first field that breaks a rule with its own error code
}

// apply sets the fields that were sent.
func (p *tokenPatch) apply(t *Token) {
	for _, change := range p.set {
		change(t)
	}
}

// fail remembers the first error with its own code.
func (p *tokenPatch) fail(err *apperr.Error) {
	if p.ruleError == nil {
		p.ruleError = err
	}
}

func errRealmFormat() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_REALM_ID_FORMAT", "Invalid realm ID format")
}

func errExpirationInPast() *apperr.Error {
	return apperr.New(apperr.Invalid, "EXPIRATION_IN_PAST", "Expiration date must be in the future")
}

// commonFields returns the fields that every request may have that creates or changes a token.
// deny_reauthorization has no effect; official clients may send it.
func commonFields() []string {
	return []string{"current_password", "otp_code", "deny_reauthorization"}
}

// readFields reads the named and the common fields of body, which are all optional. It returns 400
// VALIDATION_ERROR for an unknown field, because a token without an intended limit has too many
// rights, and for a wrong JSON type. Only without such errors it returns the first error with its
// own code. now is the time against which expiry is checked.
func readFields(body *input.Object, now time.Time, names ...string) (*tokenPatch, error) {
	body.DropNull("deny_reauthorization")
	names = append(names, commonFields()...)
	body.RefuseUnknown(names...)
	patch := &tokenPatch{set: map[string]func(*Token){}}
	readers := patch.fieldReaders(now)
	for _, name := range names {
		if read := readers[name]; read != nil && body.Has(name) {
			read(body, name)
		}
	}
	if err := body.Err(); err != nil {
		return nil, err
	}
	if patch.ruleError != nil {
		return nil, patch.ruleError
	}
	return patch, nil
}

// fieldReaders returns the functions that read fields into the patch, by field.
func (p *tokenPatch) fieldReaders(now time.Time) map[string]func(*input.Object, string) {
	return map[string]func(*input.Object, string){
		"alias": p.readAlias, "public_key": p.readPublicKey, "public_storage": p.readPublicStorage,
		"ip_whitelist": p.readAddresses,
		"realm_ids":    p.readRealms, "permissions": p.readPermissions, "permission_template": p.readTemplate,
		"current_password": p.readPassword, "otp_code": p.readCode,
		"deny_reauthorization": func(o *input.Object, name string) { o.Bool(name) },
		"expires_at":           func(o *input.Object, name string) { p.readExpiry(o, name, now) },
		"allow_no_realm":       p.readBool(func(t *Token) *bool { return &t.AllowNoRealm }),
		"vault_access":         p.readBool(func(t *Token) *bool { return &t.VaultAccess }),
		"vault_read_only":      p.readBool(func(t *Token) *bool { return &t.VaultReadOnly }),
		"vault_prefixes":       p.readPrefixes,
		"event_access":         p.readBool(func(t *Token) *bool { return &t.EventAccess }),
		"is_enabled":           p.readBool(func(t *Token) *bool { return &t.IsEnabled }),
	}
}

// readBool returns a function that reads a boolean field; target returns its place in a token.
func (p *tokenPatch) readBool(target func(*Token) *bool) func(*input.Object, string) {
	return func(body *input.Object, name string) {
		if v, ok := body.Bool(name); ok {
			p.set[name] = func(t *Token) { *target(t) = v }
		}
	}
}

func (p *tokenPatch) readAlias(body *input.Object, name string) {
	alias, ok := body.Text(name)
	switch {
	case !ok:
	case !aliasPattern.MatchString(alias):
		p.fail(apperr.New(apperr.Invalid, "INVALID_ALIAS_FORMAT", "Invalid alias format"))
	default:
		p.set[name] = func(t *Token) { t.Alias = alias }
	}
}

func (p *tokenPatch) readPublicKey(body *input.Object, name string) {
	if body.IsNull(name) {
		p.set[name] = func(t *Token) { t.PublicKey = nil }
		return
	}
	key, ok := body.Text(name)
	switch {
	case !ok:
	case !field.ValidPublicKey(key):
		p.fail(apperr.New(apperr.Invalid, "INVALID_PUBLIC_KEY_FORMAT", "Invalid public key format"))
	default:
		p.set[name] = func(t *Token) { t.PublicKey = &key }
	}
}

func (p *tokenPatch) readPublicStorage(body *input.Object, name string) {
	if body.IsNull(name) {
		p.set[name] = func(t *Token) { t.PublicStorage = nil }
		return
	}
	if storage, ok := body.JSONObject(name, maxPublicStorage); ok {
		p.set[name] = func(t *Token) { t.PublicStorage = storage }
	}
}

func (p *tokenPatch) readAddresses(body *input.Object, name string) {
	var entries []string
	var ok bool
	if raw, _ := body.Raw(name); raw.Kind() == jsontext.KindString {
		entries, ok = splitAddresses(body, name)
	} else {
		entries, ok = body.Strings(name, maxAddresses, maxAddressText)
	}
	if !ok {
		return
	}
	list, ok := parseAddresses(entries)
	if !ok {
		p.fail(apperr.New(apperr.Invalid, "INVALID_IP_FORMAT", "Invalid IP address or CIDR format"))
		return
	}
	p.set[name] = func(t *Token) { t.IPWhitelist = list }
}

// splitAddresses reads a comma-separated list and drops blank entries. It checks the number of
// entries before any entry is parsed.
func splitAddresses(body *input.Object, name string) ([]string, bool) {
	text, ok := body.Text(name)
	if !ok {
		return nil, false
	}
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		if len(entries) == maxAddresses {
			body.Fail(name, "must have at most "+strconv.Itoa(maxAddresses)+" entries")
			return nil, false
		}
		entries = append(entries, entry)
	}
	return entries, true
}

func (p *tokenPatch) readRealms(body *input.Object, name string) {
	entries, ok := body.Strings(name, maxRealms, 255)
	if !ok {
		return
	}
	var realms []string
	for _, entry := range entries {
		realm := strings.ToLower(entry)
		if !id.Valid(realm) {
			p.fail(errRealmFormat())
			return
		}
		if !slices.Contains(realms, realm) {
			realms = append(realms, realm)
		}
	}
	p.set[name] = func(t *Token) { t.RealmIDs = realms }
}

func (p *tokenPatch) readPrefixes(body *input.Object, name string) {
	entries, ok := body.Strings(name, auth.MaxVaultPrefixes, auth.MaxVaultPrefix)
	if !ok {
		return
	}
	prefixes := []string{}
	for i, entry := range entries {
		if !auth.ValidPrefix(entry) {
			body.Fail(name+"/"+strconv.Itoa(i), "must be 1 to 255 characters of A-Z, a-z, 0-9, dot, underscore and hyphen")
			ok = false
		} else if !slices.Contains(prefixes, entry) {
			prefixes = append(prefixes, entry)
		}
	}
	if ok {
		p.set[name] = func(t *Token) { t.VaultPrefixes = prefixes }
	}
}

// readTemplate sets the permissions to those of a template. fieldReaders are called in the order of
// the fields' names in the call, where permission_template follows permissions, so the template
// wins.
func (p *tokenPatch) readTemplate(body *input.Object, name string) {
	template, ok := body.Text(name)
	if !ok {
		return
	}
	tree, ok := permission.TemplateNamed(template)
	if !ok {
		body.Fail(name, "must be one of full_access, external_customer, dev_team, finance_team, read_only")
		return
	}
	p.set["permissions"] = func(t *Token) { t.Permissions = tree }
}

func (p *tokenPatch) readPermissions(body *input.Object, name string) {
	raw, _ := body.Raw(name)
	tree, pointer, problem := permission.Parse(raw)
	if problem != "" {
		body.Fail(name+pointer, problem)
		return
	}
	p.set[name] = func(t *Token) { t.Permissions = tree }
}

func (p *tokenPatch) readCode(body *input.Object, name string) {
	p.proof.Code, _ = body.String(name, field.MinCode, field.MaxCode)
}

func (p *tokenPatch) readPassword(body *input.Object, name string) {
	p.proof.Password = field.StoredPassword(body, name, 1)
}

func (p *tokenPatch) readExpiry(body *input.Object, name string, now time.Time) {
	raw, _ := body.Raw(name)
	if raw.Kind() == jsontext.KindNull {
		p.set[name] = func(t *Token) { t.ExpiresAt = nil }
		return
	}
	var expiresAt time.Time
	ok := len(raw) <= maxExpiryText
	if ok {
		text := string(raw)
		if raw.Kind() == jsontext.KindString {
			text, _ = body.Text(name)
		}
		expiresAt, ok = parseExpiry(text, now)
	}
	switch {
	case !ok || raw.Kind() != jsontext.KindString && raw.Kind() != jsontext.KindNumber:
		body.Fail(name, `must be an ISO 8601 time, Unix seconds or milliseconds, "today", "tomorrow" or null`)
	case !expiresAt.After(now):
		p.fail(errExpirationInPast())
	default:
		p.set[name] = func(t *Token) { t.ExpiresAt = api.TimePtr(&expiresAt) }
	}
}

// minMilliseconds is the least number that parseExpiry reads as milliseconds: in seconds it would
// be the year 5138, in milliseconds it is 1973.
const minMilliseconds = 1e11

// parseExpiry parses an ISO 8601 time (in UTC without a zone), a date (the end of that day),
// "today" or "tomorrow" (the end of that day), or a Unix time in seconds or milliseconds. Days are
// in UTC; false for other texts.
func parseExpiry(s string, now time.Time) (time.Time, bool) {
	switch s {
	case "today":
		return endOfDay(now), true
	case "tomorrow":
		return endOfDay(now.UTC().AddDate(0, 0, 1)), true
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if math.Abs(n) < minMilliseconds {
			n *= 1000
		}
		return fromMilliseconds(n)
	}
	for _, zone := range []string{"", "Z"} { // time.Parse rejects leap seconds
		if t, ok := input.ParseTime(s + zone); ok {
			return t, true
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), t.UTC().Year() > 0 && t.UTC().Year() < 10000
		}
	}
	t, err := time.Parse(time.DateOnly, s)
	return endOfDay(t), err == nil && t.Year() > 0
}

// fromMilliseconds returns the Unix time; false when it is beyond the year 9999.
func fromMilliseconds(milliseconds float64) (time.Time, bool) {
	const year10000 = 253402300800000
	if !(math.Abs(milliseconds) < year10000) { // NaN too
		return time.Time{}, false
	}
	return time.UnixMilli(int64(milliseconds)).UTC(), true
}

// endOfDay returns the last millisecond of t's day in UTC.
func endOfDay(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 23, 59, 59, int(999*time.Millisecond), time.UTC)
}
