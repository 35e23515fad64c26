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
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/permission"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Bounds of an auth token's lists. The realms travel with every request of the token, so they must
// fit into a header.
const (
	maxTokenRealms    = 100
	maxTokenAddresses = 200
	maxAddressText    = 64       // characters of one entry
	maxExpiryText     = 256      // bytes of JSON: every time that is read is shorter, also with all its characters escaped
	maxPublicStorage  = 64 << 10 // bytes of compact JSON
)

var tokenAlias = regexp.MustCompile(`^[a-zA-Z0-9 _-]{1,254}$`)

// patch are the fields of a token that a request sent, each as the change that it makes.
type patch struct {
	set   map[string]func(*Token) // by field
	proof request.Proof           // that the user of the account sends it
	bad   *apperr.Error           // the first field that breaks a rule with a code of its own
}

func (f *patch) apply(t *Token) {
	for _, change := range f.set {
		change(t)
	}
}

func (f *patch) fail(err *apperr.Error) {
	if f.bad == nil {
		f.bad = err
	}
}

func errRealmFormat() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_REALM_ID_FORMAT", "Invalid realm ID format")
}

func errExpirationInPast() *apperr.Error {
	return apperr.New(apperr.Invalid, "EXPIRATION_IN_PAST", "Expiration date must be in the future")
}

// commonTokenFields are known wherever a token is made or changed. deny_reauthorization, which
// official clients may send, has no effect.
func commonTokenFields() []string {
	return []string{"current_password", "otp_code", "deny_reauthorization"}
}

// readTokenFields reads the named and the common fields of body, all of them optional. An unknown
// field is a VALIDATION_ERROR, because a token without the limit that somebody meant is one with
// more rights; so is a wrong JSON type. Both go before the errors that have a code of their own.
func readTokenFields(body *input.Object, now time.Time, names ...string) (*patch, error) {
	body.DropNull("deny_reauthorization")
	names = append(names, commonTokenFields()...)
	body.RefuseUnknown(names...)
	f := &patch{set: map[string]func(*Token){}}
	readers := f.fieldReaders(now)
	for _, name := range names {
		if read := readers[name]; read != nil && body.Has(name) {
			read(body, name)
		}
	}
	if err := body.Err(); err != nil {
		return nil, err
	}
	if f.bad != nil {
		return nil, f.bad
	}
	return f, nil
}

func (f *patch) fieldReaders(now time.Time) map[string]func(*input.Object, string) {
	return map[string]func(*input.Object, string){
		"alias": f.readAlias, "public_key": f.readPublicKey, "public_storage": f.readPublicStorage,
		"ip_whitelist": f.readAddresses,
		"realm_ids":    f.readRealms, "permissions": f.readPermissions, "permission_template": f.readTemplate,
		"current_password": f.readPassword, "otp_code": f.readCode,
		"deny_reauthorization": func(o *input.Object, name string) { o.Bool(name) },
		"expires_at":           func(o *input.Object, name string) { f.readExpiry(o, name, now) },
		"allow_no_realm":       f.flag(func(t *Token) *bool { return &t.AllowNoRealm }),
		"vault_access":         f.flag(func(t *Token) *bool { return &t.VaultAccess }),
		"event_access":         f.flag(func(t *Token) *bool { return &t.EventAccess }),
		"is_enabled":           f.flag(func(t *Token) *bool { return &t.IsEnabled }),
	}
}

func (f *patch) flag(of func(*Token) *bool) func(*input.Object, string) {
	return func(o *input.Object, name string) {
		if v, ok := o.Bool(name); ok {
			f.set[name] = func(t *Token) { *of(t) = v }
		}
	}
}

func (f *patch) readAlias(o *input.Object, name string) {
	alias, ok := o.Text(name)
	switch {
	case !ok:
	case !tokenAlias.MatchString(alias):
		f.fail(apperr.New(apperr.Invalid, "INVALID_ALIAS_FORMAT", "Invalid alias format"))
	default:
		f.set[name] = func(t *Token) { t.Alias = alias }
	}
}

func (f *patch) readPublicKey(o *input.Object, name string) {
	if o.IsNull(name) {
		f.set[name] = func(t *Token) { t.PublicKey = nil }
		return
	}
	key, ok := o.Text(name)
	switch {
	case !ok:
	case !field.PublicKeyPattern.MatchString(key):
		f.fail(apperr.New(apperr.Invalid, "INVALID_PUBLIC_KEY_FORMAT", "Invalid public key format"))
	default:
		f.set[name] = func(t *Token) { t.PublicKey = &key }
	}
}

func (f *patch) readPublicStorage(o *input.Object, name string) {
	if o.IsNull(name) {
		f.set[name] = func(t *Token) { t.PublicStorage = nil }
		return
	}
	if v, ok := o.JSONObject(name, maxPublicStorage); ok {
		f.set[name] = func(t *Token) { t.PublicStorage = v }
	}
}

func (f *patch) readAddresses(o *input.Object, name string) {
	var entries []string
	var ok bool
	if raw, _ := o.Raw(name); raw.Kind() == jsontext.KindString {
		entries, ok = splitAddresses(o, name)
	} else {
		entries, ok = o.Strings(name, maxTokenAddresses, maxAddressText)
	}
	if !ok {
		return
	}
	list, ok := parseAddresses(entries)
	if !ok {
		f.fail(apperr.New(apperr.Invalid, "INVALID_IP_FORMAT", "Invalid IP address or CIDR format"))
		return
	}
	f.set[name] = func(t *Token) { t.IPWhitelist = list }
}

// splitAddresses reads a comma-separated list; what is blank between commas does not count. The
// bound holds before any entry is looked at.
func splitAddresses(o *input.Object, name string) ([]string, bool) {
	text, ok := o.Text(name)
	if !ok {
		return nil, false
	}
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		if len(entries) == maxTokenAddresses {
			o.Fail(name, "must have at most "+strconv.Itoa(maxTokenAddresses)+" entries")
			return nil, false
		}
		entries = append(entries, entry)
	}
	return entries, true
}

func (f *patch) readRealms(o *input.Object, name string) {
	entries, ok := o.Strings(name, maxTokenRealms, 255)
	if !ok {
		return
	}
	var realms []string
	for _, entry := range entries {
		realm := strings.ToLower(entry)
		if !id.Valid(realm) {
			f.fail(errRealmFormat())
			return
		}
		if !slices.Contains(realms, realm) {
			realms = append(realms, realm)
		}
	}
	f.set[name] = func(t *Token) { t.RealmIDs = realms }
}

// readTemplate is read after the permissions and wins over them.
func (f *patch) readTemplate(o *input.Object, name string) {
	wanted, ok := o.Text(name)
	if !ok {
		return
	}
	tree, ok := permission.TemplateNamed(wanted)
	if !ok {
		o.Fail(name, "must be one of full_access, external_customer, dev_team, finance_team, read_only")
		return
	}
	f.set["permissions"] = func(t *Token) { t.Permissions = tree }
}

func (f *patch) readPermissions(o *input.Object, name string) {
	raw, _ := o.Raw(name)
	tree, at, problem := permission.Parse(raw)
	if problem != "" {
		o.Fail(name+at, problem)
		return
	}
	f.set[name] = func(t *Token) { t.Permissions = tree }
}

func (f *patch) readCode(o *input.Object, name string) {
	f.proof.Code, _ = o.String(name, field.MinCode, field.MaxCode)
}

func (f *patch) readPassword(o *input.Object, name string) {
	f.proof.Password = field.StoredPassword(o, name, 1)
}

func (f *patch) readExpiry(o *input.Object, name string, now time.Time) {
	raw, _ := o.Raw(name)
	if raw.Kind() == jsontext.KindNull {
		f.set[name] = func(t *Token) { t.ExpiresAt = nil }
		return
	}
	var end time.Time
	ok := len(raw) <= maxExpiryText
	if ok {
		text := string(raw)
		if raw.Kind() == jsontext.KindString {
			text, _ = o.Text(name)
		}
		end, ok = parseExpiry(text, now)
	}
	switch {
	case !ok || raw.Kind() != jsontext.KindString && raw.Kind() != jsontext.KindNumber:
		o.Fail(name, `must be an ISO 8601 time, Unix seconds or milliseconds, "today", "tomorrow" or null`)
	case !end.After(now):
		f.fail(errExpirationInPast())
	default:
		f.set[name] = func(t *Token) { t.ExpiresAt = api.TimePtr(&end) }
	}
}

// millisecondsFrom is the least number that is read as milliseconds: as seconds it is the year
// 5138, as milliseconds 1973.
const millisecondsFrom = 1e11

// parseExpiry reads an ISO 8601 time (UTC when it names no zone), a date (its end), "today" or
// "tomorrow" (the end of that UTC day), or a Unix time in seconds or milliseconds.
func parseExpiry(s string, now time.Time) (time.Time, bool) {
	switch s {
	case "today":
		return endOfDay(now), true
	case "tomorrow":
		return endOfDay(now.UTC().AddDate(0, 0, 1)), true
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if math.Abs(n) < millisecondsFrom {
			n *= 1000
		}
		return inRange(n)
	}
	for _, zone := range []string{"", "Z"} { // a leap second is none to time.Parse
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

func inRange(milliseconds float64) (time.Time, bool) {
	const year10000 = 253402300800000
	if !(math.Abs(milliseconds) < year10000) { // NaN too
		return time.Time{}, false
	}
	return time.UnixMilli(int64(milliseconds)).UTC(), true
}

// endOfDay is the last millisecond of t's day in UTC.
func endOfDay(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 23, 59, 59, int(999*time.Millisecond), time.UTC)
}
