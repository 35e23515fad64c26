package account

import (
	"context"
	"fmt"
	"io"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

const emailsPerQuery = 1000

// CheckEmails lists on out the accounts that an earlier release stored under another rule for
// addresses: those with an address that mailaddr.Parse refuses, and those with another key than it
// returns. With correct, an account of the second kind is stored under the right key, provided that
// the key is free. Addresses are printed with escapes, because the faulty characters are often
// invisible. The error counts the accounts that break the rule.
func CheckEmails(ctx context.Context, q core.DBTX, correct bool, out io.Writer) error {
	var checked, wrong int
	for after := ""; ; {
		list, err := emailsAfter(ctx, q, after, emailsPerQuery)
		if err != nil {
			return err
		}
		for _, stored := range list {
			fault, corrected, err := checkEmail(ctx, q, stored, correct)
			if err != nil {
				return err
			}
			if fault == "" {
				continue
			}
			fmt.Fprintf(out, "%s %+q: %s\n", stored.ID, stored.Email, fault)
			if !corrected {
				wrong++
			}
		}
		if checked += len(list); len(list) < emailsPerQuery {
			break
		}
		after = list[len(list)-1].ID
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d accounts have an address that breaks the rule", wrong, checked)
	}
	fmt.Fprintf(out, "the addresses of all %d accounts keep the rule\n", checked)
	return nil
}

// checkEmail returns the fault of how an account's address is stored, or "", and whether the fault
// was corrected.
func checkEmail(ctx context.Context, q core.DBTX, stored storedEmail,
	correct bool) (fault string, corrected bool, err error) {
	mailbox, err := mailaddr.Parse(stored.Email)
	if err != nil {
		return err.Error(), false, nil
	}
	if mailbox.Key == stored.Key {
		return "", false, nil
	}
	fault = fmt.Sprintf("stored as %+q, its mailbox is %+q", stored.Key, mailbox.Key)
	other, err := findOne(ctx, q, `WHERE email_key = $1`, mailbox.Key)
	switch {
	case err == nil:
		return fmt.Sprintf("%s, which account %s has (%+q)", fault, other.ID, other.Email), false, nil
	case !apperr.Is(err, "USER_NOT_FOUND"):
		return "", false, err
	case !correct:
		return fault, false, nil
	}
	if corrected, err = writeKey(ctx, q, stored, mailbox.Key); corrected {
		fault += ": corrected"
	}
	return fault, corrected, err
}
