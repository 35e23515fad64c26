package account

import (
	"context"

	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// RequestMail stores a job for a mail of the kind to the address, whether or not an account has it.
// passwordHash is that of a sign-up, "" for other mails. Without a mail server it does nothing.
func RequestMail(ctx context.Context, q core.DBTX, outbox *mail.Outbox, kind, address, passwordHash string) error {
	if !outbox.On() {
		return nil
	}
	key, err := StoredKey(ctx, q, address)
	if err != nil {
		return err
	}
	return outbox.Enqueue(ctx, kind, key, passwordHash)
}

// MessageTo returns a mail about the account to another address than its own.
func (a Account) MessageTo(template, address string) mail.Message {
	message := a.Message(template)
	message.To = mailaddr.DeliverTo(address)
	return message
}

// Message returns a mail to the account, without the link that mail.Outbox.Compose adds.
func (a Account) Message(template string) mail.Message {
	return mail.Message{Template: template, UserID: a.ID, To: mailaddr.DeliverTo(a.Email), Name: a.Alias}
}
