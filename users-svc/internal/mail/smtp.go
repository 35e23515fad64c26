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

// smtpSender sends mails through one mail server (RFC 5321), each over a connection of its own.
type smtpSender struct {
	client *gomail.Client
	from   mail.Address
}

// refusedError reports that the recipient's server refused the mail for good: a 5yz reply (RFC
// 5321, section 4.2.1) to the recipient or to the data. Its text is the reply without the address.
type refusedError struct{ text string }

// Error implements error.
func (e refusedError) Error() string { return e.text }

// refusedForGood reports whether the server refused the recipient or the mail for good. A refused
// sender or sign-in does not count: the mail waits until the operator has corrected the setting.
func refusedForGood(err error) bool {
	sendErr, ok := errors.AsType[*gomail.SendError](err)
	if !ok || sendErr.ErrorCode() < 500 || sendErr.ErrorCode() == 530 { // 530: the server requires a sign-in or TLS
		return false
	}
	return sendErr.Reason == gomail.ErrSMTPRcptTo || sendErr.Reason == gomail.ErrSMTPData ||
		sendErr.Reason == gomail.ErrSMTPDataClose
}

// smtpExample shows the form of SMTP_URL in error messages.
const smtpExample = "smtp://user:password@host:587 or smtps://user:password@host:465, " +
	"with ?tls=required or ?tls=off at the most"

// newSMTPSender returns a sender with the settings SMTP_URL and MAIL_FROM; it does not connect. The
// error names the setting that is wrong, without its value.
func newSMTPSender(cfg Config, extra ...gomail.Option) (*smtpSender, error) {
	invalid := config.SecretURLError("SMTP_URL", smtpExample)
	serverURL, err := config.SecretURL("SMTP_URL", cfg.URL.Reveal(), smtpExample, "smtp", "smtps")
	if err != nil || serverURL.Hostname() == "" {
		return nil, invalid
	}
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, errors.New("MAIL_FROM is no e-mail address")
	}
	options := append(extra, gomail.WithTimeout(20*time.Second))
	switch tls := serverURL.Query().Get("tls"); {
	case serverURL.Scheme == "smtps":
		options = append(options, gomail.WithSSL(), gomail.WithPort(465))
	case tls == "":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic), gomail.WithPort(587))
	case tls == "required":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithPort(587))
	case tls == "off":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithPort(587))
	default:
		return nil, invalid
	}
	if serverURL.Port() != "" {
		port, err := strconv.Atoi(serverURL.Port())
		if err != nil {
			return nil, invalid
		}
		options = append(options, gomail.WithPort(port))
	}
	if serverURL.User != nil {
		password, _ := serverURL.User.Password()
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(serverURL.User.Username()),
			gomail.WithPassword(password))
	}
	from.Address = mailaddr.DeliverTo(from.Address)
	sender := &smtpSender{from: *from}
	if sender.client, err = gomail.NewClient(serverURL.Hostname(), options...); err != nil {
		return nil, invalid
	}
	return sender, nil
}

// send delivers the message as text and HTML (multipart/alternative, RFC 2046, section 5.1.4). The
// error is a refusedError when another attempt would fail too. No error has the recipient's
// address, because errors are logged.
func (s *smtpSender) send(ctx context.Context, message Message) error {
	msg := gomail.NewMsg()
	msg.FromMailAddress(&s.from)
	if err := msg.To(message.To); err != nil {
		return errors.New("the mail library refuses the recipient's address") // the library's error quotes the address
	}
	msg.Subject(message.subject())
	_, domain, _ := strings.Cut(s.from.Address, "@")
	msg.SetMessageIDWithValue(secrets.NewToken() + "@" + domain) // the library's default has this host's name
	msg.SetDate()
	text, err := message.render(".txt", func(s string) string { return s })
	if err != nil {
		return err
	}
	page, err := message.render(".html", html.EscapeString)
	if err != nil {
		return err
	}
	msg.SetBodyString(gomail.TypeTextPlain, text)
	msg.AddAlternativeString(gomail.TypeTextHTML, page)
	if err := s.client.DialAndSendWithContext(ctx, msg); err != nil {
		text := strings.ReplaceAll(err.Error(), message.To, "(recipient)") // servers quote the address
		if refusedForGood(err) {
			return refusedError{text}
		}
		return errors.New(text)
	}
	return nil
}
