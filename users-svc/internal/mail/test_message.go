package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	gomail "github.com/wneessen/go-mail"
	maillog "github.com/wneessen/go-mail/log"

	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// SendTest sends a test mail to an address and writes the SMTP session to out. The error tells
// whether such a mail would be tried again.
func SendTest(ctx context.Context, cfg Config, appName, address string, out io.Writer) error {
	if !cfg.On() {
		return errors.New("SMTP_URL is not set: no mail is sent, and every address counts as verified")
	}
	to, err := mailaddr.Parse(address)
	if err != nil {
		return fmt.Errorf("ADDRESS %w", err)
	}
	sender, err := newSMTPSender(cfg, gomail.WithDebugLog(), gomail.WithLogger(transcript{out}))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err = sender.send(ctx, Message{Template: "test", To: to.Deliver, App: appName, URL: cfg.BaseURL()})
	if _, refused := errors.AsType[refusedError](err); refused {
		return fmt.Errorf("not sent, and such a mail would not be tried again: %w", err)
	}
	if err != nil {
		return fmt.Errorf("not sent; such a mail would be tried again: %w", err)
	}
	fmt.Fprintf(out, "sent: the mail server took the mail to %s; links begin with %s\n", to.Deliver, cfg.BaseURL())
	return nil
}

// transcript is a logger of go-mail that prints the lines of an SMTP session; go-mail omits the
// password.
type transcript struct{ out io.Writer }

func (d transcript) print(entry maillog.Log) {
	side := "S: "
	if entry.Direction == maillog.DirClientToServer {
		side = "C: "
	}
	fmt.Fprintln(d.out, side+strings.TrimSpace(fmt.Sprintf(entry.Format, entry.Messages...)))
}

// Debugf, Infof, Warnf and Errorf implement the logger of go-mail.
func (d transcript) Debugf(l maillog.Log) { d.print(l) }

func (d transcript) Infof(l maillog.Log) { d.print(l) }

func (d transcript) Warnf(l maillog.Log) { d.print(l) }

func (d transcript) Errorf(l maillog.Log) { d.print(l) }
