package admin

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
)

// Import adds the accounts that r holds in the format csv or jsonl. It reports on out each refused
// line with the reason, and the number of added accounts.
func (s *Service) Import(ctx context.Context, r io.Reader, format string, out io.Writer) (err error) {
	im := &importer{Core: s.Core, out: out, ignored: map[string]bool{}}
	switch format {
	case "csv":
		err = im.csv(ctx, r)
	case "jsonl":
		err = im.jsonLines(ctx, r)
	default:
		return errors.New("-format must be csv or jsonl")
	}
	if err == nil {
		err = im.flush(ctx)
	}
	fmt.Fprintf(out, "%d imported, %d refused\n", im.imported, im.refused)
	return err
}

// importer inserts accounts in batches, one transaction each, and reports refused lines.
type importer struct {
	*core.Core
	out               io.Writer
	batch             []importRow
	ignored           map[string]bool // reported warnings about unknown fields
	imported, refused int
}

// importRow is an account and the number of its line in the file.
type importRow struct {
	line int
	account.Draft
}

func (im *importer) refuse(line int, reason string) {
	im.refused++
	fmt.Fprintf(im.out, "line %d: %s\n", line, reason)
}

func (im *importer) jsonLines(ctx context.Context, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxImportLine)
	line := 0
	for lines.Scan() {
		if line++; len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		object, err := input.ParseObject(lines.Bytes())
		if err := im.addRow(ctx, line, object, err); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", line+1, err)
	}
	return nil
}

func (im *importer) csv(ctx context.Context, r io.Reader) error {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("line 1: %w", err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // spreadsheets write a byte order mark
	for {
		row, err := rows.Read()
		switch parseErr, malformed := errors.AsType[*csv.ParseError](err); {
		case errors.Is(err, io.EOF):
			return nil
		case malformed:
			im.refuse(parseErr.StartLine, "malformed: "+parseErr.Err.Error())
			continue
		case err != nil:
			return err
		}
		line, _ := rows.FieldPos(0)
		object, err := rowToObject(header, row)
		if err := im.addRow(ctx, line, object, err); err != nil {
			return err
		}
	}
}

// rowToObject converts a CSV row to the object that a JSON line would hold. Empty cells are left
// out.
func rowToObject(header, row []string) (*input.Object, error) {
	object := []byte{'{'}
	for i, cell := range row {
		name := strings.TrimSpace(header[i])
		if cell == "" {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object, _ = jsontext.AppendQuote(object, name) // ParseObject refuses invalid UTF-8
		object = append(object, ':')
		if isJSONCell(name, cell) {
			object = append(object, cell...)
			continue
		}
		object, _ = jsontext.AppendQuote(object, cell)
	}
	return input.ParseObject(append(object, '}'))
}

// isJSONCell reports whether a cell is a JSON value itself. Any other cell is a string.
func isJSONCell(name, cell string) bool {
	switch name {
	case "email_verified", "is_admin", "is_banned":
		return cell == "true" || cell == "false"
	case "metadata":
		return jsontext.Value(cell).IsValid()
	}
	return false
}

// addRow adds one account to the batch. err is the error of parsing its line.
func (im *importer) addRow(ctx context.Context, line int, object *input.Object, err error) error {
	var draft account.Draft
	if err == nil {
		draft, err = readImported(object, im.Now())
		im.reportIgnored(line, object)
	}
	if err != nil {
		im.refuse(line, violationText(err))
		return nil
	}
	if im.batch = append(im.batch, importRow{line, draft}); len(im.batch) < importBatch {
		return nil
	}
	return im.flush(ctx)
}

// reportIgnored reports each unknown field once, at the first line that has it.
func (im *importer) reportIgnored(line int, object *input.Object) {
	for _, warning := range object.Warnings() {
		if !im.ignored[warning] && len(im.ignored) < maxIgnoredFields {
			im.ignored[warning] = true
			fmt.Fprintf(im.out, "line %d: %s, here and below\n", line, warning)
		}
	}
}

// violationText returns the reasons for a refusal in one line.
func violationText(err error) string {
	e := apperr.From(err)
	if len(e.Violations) == 0 {
		return e.Message
	}
	var texts []string
	for _, v := range e.Violations {
		texts = append(texts, strings.TrimPrefix(v.InstancePath, "/")+" "+v.Message)
	}
	return strings.Join(texts, "; ")
}

// readImported reads and checks an imported account.
func readImported(object *input.Object, now time.Time) (account.Draft, error) {
	object.DropNull("username", "alias", "email_verified", "created_at", "metadata", "is_admin", "is_banned")
	draft := account.Draft{Email: mailaddr.Field(object, "email"), Method: account.MethodImport, Verified: true,
		CreatedAt: now}
	if !object.Has("password_hash") {
		object.Fail("password_hash", "is required")
	} else if hash, ok := object.String("password_hash", 1, 512); ok {
		draft.PasswordHash = passwords.Normalize(hash)
		if err := passwords.CheckImportable(draft.PasswordHash); err != nil {
			object.Fail("password_hash", err.Error())
		}
	}
	var ok bool
	forbidden := func(r rune) bool { return r == '@' || mailaddr.Hidden(r) && r != ' ' }
	if draft.Username, ok = object.String("username", 1, maxUsername); ok &&
		strings.ContainsFunc(draft.Username, forbidden) {
		object.Fail("username", "must not contain @, or "+mailaddr.HiddenCharacters)
	}
	if draft.Alias, ok = object.String("alias", 1, account.MaxAlias); !ok {
		draft.Alias = account.DefaultAlias(draft.Email)
	}
	if verified, ok := object.Bool("email_verified"); ok {
		draft.Verified = verified
	}
	if flag, _ := object.Bool("is_admin"); flag {
		object.Fail("is_admin", "must be false: no account is imported as an admin; make it one with admin create")
	}
	if flag, _ := object.Bool("is_banned"); flag {
		object.Fail("is_banned", "must be false: no account is imported as banned; ban it afterwards, with a reason")
	}
	draft.Metadata, _ = object.JSONObject("metadata", account.MaxMetadata)
	if text, ok := object.String("created_at", 1, 64); ok {
		createdAt, ok := input.ParseTime(text)
		if draft.CreatedAt = createdAt; !ok || createdAt.Year() < 1970 || createdAt.After(now) {
			object.Fail("created_at", "must be an RFC 3339 time in the past, after 1970")
		}
	}
	if !utf8.ValidString(draft.Email) {
		object.Fail("email", "must be UTF-8")
	}
	return draft, object.Err()
}

const (
	importBatch      = 200     // accounts in one transaction
	importProgress   = 5000    // accounts between two reports of progress
	maxImportLine    = 1 << 20 // bytes
	maxUsername      = 100     // characters
	maxIgnoredFields = 100     // unknown fields that are reported
)

// ImportHelp describes the format of an import file, for the command's -help.
const ImportHelp = `FILE is CSV with a header line, or JSON lines; "-" is standard input. Columns or fields:
  email           required
  password_hash   required: $argon2id$..., $2a$ $2b$ $2y$ (bcrypt), $pbkdf2-sha256$rounds$salt$key (passlib) or
                  pbkdf2_sha256$rounds$salt$key (Django), likewise sha1 and sha512, argon2$argon2id$... (Django) or
                  $pbkdf2-sha256$i=rounds,l=length$salt$key (Ory Kratos); renewed as Argon2id at the first sign-in.
                  Accepted are bcrypt of cost 10 to 13, PBKDF2 of 100,000 to 2,000,000 rounds (sha1: 200,000 to
                  3,000,000, sha512: 35,000 to 700,000), and Argon2id with m from 7168 to 131072 and m times t from
                  35840 to 262144. Until all are renewed a failed sign-in costs as much as the costliest of each kind.
  username        optional, at most 100 characters without @; made from the address when left out
  alias           optional
  email_verified  optional: true (default) or false
  created_at      optional: RFC 3339
  metadata        optional: a JSON object
  is_admin        optional: false; an admin is made with admin create
  is_banned       optional: false; a ban needs a reason, which an admin gives
A line that cannot be imported is reported with its number and why; the others are imported. Any other field is ignored,
which is reported once for each.
`
