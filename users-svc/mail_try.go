package users

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	gomail "github.com/wneessen/go-mail"
	maillog "github.com/wneessen/go-mail/log"

	"github.com/realmgate/realmgate/pkg/service"
)

// mailTest sends a test mail with the settings of the service and prints what the two servers said.
func mailTest(ctx context.Context, cfg Config, _ service.Runtime, args []string, out io.Writer) error {
	flags, err := parseFlags("mail test", args, out, func(*flag.FlagSet) {})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() != 1:
		return errors.New("mail test needs exactly one ADDRESS")
	case !cfg.Mail.On():
		return errors.New("SMTP_URL is not set: no mail is sent, and every address counts as verified")
	}
	to, err := parseEmail(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("ADDRESS %w", err)
	}
	sender, err := newSMTPSender(cfg.Mail, gomail.WithDebugLog(), gomail.WithLogger(dialogue{out}))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	err = sender.send(ctx, letter{template: "test", To: to.Deliver, App: cfg.AppName, URL: cfg.Mail.base()})
	if _, refused := errors.AsType[errRefused](err); refused {
		return fmt.Errorf("not sent, and such a mail would not be tried again: %w", err)
	}
	if err != nil {
		return fmt.Errorf("not sent; such a mail would be tried again: %w", err)
	}
	fmt.Fprintf(out, "sent: the mail server took the mail to %s; links begin with %s\n", to.Deliver, cfg.Mail.base())
	return nil
}

// dialogue prints the lines of an SMTP session; the library leaves the password out.
type dialogue struct{ out io.Writer }

func (d dialogue) print(l maillog.Log) {
	who := "S: "
	if l.Direction == maillog.DirClientToServer {
		who = "C: "
	}
	fmt.Fprintln(d.out, who+strings.TrimSpace(fmt.Sprintf(l.Format, l.Messages...)))
}

func (d dialogue) Debugf(l maillog.Log) { d.print(l) }
func (d dialogue) Infof(l maillog.Log)  { d.print(l) }
func (d dialogue) Warnf(l maillog.Log)  { d.print(l) }
func (d dialogue) Errorf(l maillog.Log) { d.print(l) }
