package testkit

import (
	"errors"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// PostOffice is a mail server on loopback that keeps every mail it gets.
type PostOffice struct {
	// Addr is its host:port; it offers neither STARTTLS nor authentication.
	Addr string

	mu     sync.Mutex
	mails  []Mail
	refuse bool
	reject int
}

// Mail is one mail that arrived. Body is its decoded text, all parts one after the other.
type Mail struct{ To, Subject, MessageID, Body string }

// SMTP starts a mail server that ends with the test.
func SMTP(t testing.TB) *PostOffice {
	t.Helper()
	p := &PostOffice{}
	server := smtp.NewServer(p)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Addr = ln.Addr().String()
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// Refuse makes the server refuse every recipient from now on, or accept them again.
func (p *PostOffice) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Reject makes the server refuse every recipient permanently with this 5yz reply; 0 ends that.
func (p *PostOffice) Reject(code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reject = code
}

// To returns the mails to an address, the oldest first.
func (p *PostOffice) To(address string) []Mail {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Mail
	for _, m := range p.mails {
		if m.To == address {
			out = append(out, m)
		}
	}
	return out
}

// Await waits up to 15 s until n mails to an address have arrived and returns the last of them.
func (p *PostOffice) Await(t testing.TB, address string, n int) Mail {
	t.Helper()
	for range 750 {
		if mails := p.To(address); len(mails) >= n {
			return mails[n-1]
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d mails came to %s, want %d", len(p.To(address)), address, n)
	return Mail{}
}

type delivery struct {
	office *PostOffice
	to     string
}

// NewSession implements smtp.Backend.
func (p *PostOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &delivery{office: p}, nil }

// Mail implements smtp.Session; every sender is accepted.
func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }

// Reset implements smtp.Session.
func (d *delivery) Reset() { d.to = "" }

// Logout implements smtp.Session.
func (d *delivery) Logout() error { return nil }

// Rcpt implements smtp.Session.
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.office.mu.Lock()
	defer d.office.mu.Unlock()
	if d.office.refuse {
		return errors.New("no room for " + to)
	}
	if code := d.office.reject; code != 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no mailbox " + to}
	}
	d.to = to
	return nil
}

// Data implements smtp.Session.
func (d *delivery) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	// The parts of our mails are quoted-printable. Their headers and boundaries are plain text that
	// the decoder does not change.
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return err
	}
	d.office.mu.Lock()
	defer d.office.mu.Unlock()
	d.office.mails = append(d.office.mails,
		Mail{d.to, m.Header.Get("Subject"), m.Header.Get("Message-ID"), strings.ReplaceAll(string(body), "\r\n", "\n")})
	return nil
}
