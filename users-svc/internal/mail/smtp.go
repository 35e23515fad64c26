package mail

import (
	"context"
	"errors"
	"html"
	"net/mail"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

func (m Message) subject() string {
	switch m.Template {
	case "verify":
		return "Verify your e-mail address for " + m.App
	case "reset":
		return "Reset your password for " + m.App
	case "test":
		return "Test mail of " + m.App
	default:
		return "Your account at " + m.App
	}
}

// render fills the template with escaped values. It does not use text/template, which calls methods
// by name: the linker would keep every exported method of every type, ten megabytes of them.
func (m Message) render(ending string, escape func(string) string) (string, error) {
	content, err := templates.ReadFile("templates/" + m.Template + ending)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(
		"{{.App}}", escape(m.App), "{{.Name}}", escape(m.Name), "{{.Link}}", escape(m.Link), "{{.URL}}", escape(m.URL),
		"{{.Hours}}", strconv.Itoa(m.Hours),
	).Replace(string(content)), nil
}

// smtpSender sends through a mail server (RFC 5321), with a connection for each mail.
type smtpSender struct {
	client *gomail.Client
	from   mail.Address
}

// refusedError says that the recipient's server will never take the mail (RFC 5321, a 5yz reply to
// the recipient or to the data). Its text is the reply without the address.
type refusedError struct{ text string }

func (e refusedError) Error() string { return e.text }

// permanent reports whether the server refused the recipient or the mail for good. A refused sender
// or sign-in is the operator's to correct: the mail waits for it.
func permanent(err error) bool {
	e, ok := errors.AsType[*gomail.SendError](err)
	if !ok || e.ErrorCode() < 500 || e.ErrorCode() == 530 { // 530: the server wants a sign-in or TLS
		return false
	}
	return e.Reason == gomail.ErrSMTPRcptTo || e.Reason == gomail.ErrSMTPData || e.Reason == gomail.ErrSMTPDataClose
}

// smtpExample is what SMTP_URL looks like.
const smtpExample = "smtp://user:password@host:587 or smtps://user:password@host:465, with ?tls=required or ?tls=off at the most"

// newSMTPSender reads SMTP_URL and MAIL_FROM; it does not connect.
func newSMTPSender(c Config, more ...gomail.Option) (*smtpSender, error) {
	bad := config.SecretURLError("SMTP_URL", smtpExample)
	u, err := config.SecretURL("SMTP_URL", c.URL.Reveal(), smtpExample, "smtp", "smtps")
	if err != nil || u.Hostname() == "" {
		return nil, bad
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, errors.New("MAIL_FROM is no e-mail address")
	}
	options := append(more, gomail.WithTimeout(20*time.Second))
	switch tls := u.Query().Get("tls"); {
	case u.Scheme == "smtps":
		options = append(options, gomail.WithSSL(), gomail.WithPort(465))
	case tls == "":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic), gomail.WithPort(587))
	case tls == "required":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithPort(587))
	case tls == "off":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithPort(587))
	default:
		return nil, bad
	}
	if u.Port() != "" {
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			return nil, bad
		}
		options = append(options, gomail.WithPort(port))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()),
			gomail.WithPassword(password))
	}
	from.Address = mailaddr.DeliverTo(from.Address)
	s := &smtpSender{from: *from}
	if s.client, err = gomail.NewClient(u.Hostname(), options...); err != nil {
		return nil, bad
	}
	return s, nil
}

// send delivers the message as text and HTML.
func (s *smtpSender) send(ctx context.Context, message Message) error {
	m := gomail.NewMsg()
	m.FromMailAddress(&s.from)
	if err := m.To(message.To); err != nil {
		return errors.New("the mail library refuses the recipient's address") // its own text quotes the address
	}
	m.Subject(message.subject())
	_, domain, _ := strings.Cut(s.from.Address, "@")
	m.SetMessageIDWithValue(secrets.NewToken() + "@" + domain) // the library's own has the name of this host
	m.SetDate()
	text, err := message.render(".txt", func(s string) string { return s })
	if err != nil {
		return err
	}
	page, err := message.render(".html", html.EscapeString)
	if err != nil {
		return err
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, page)
	if err := s.client.DialAndSendWithContext(ctx, m); err != nil {
		text := strings.ReplaceAll(err.Error(), message.To, "(recipient)") // servers quote the address, and errors are logged
		if permanent(err) {
			return refusedError{text}
		}
		return errors.New(text)
	}
	return nil
}
