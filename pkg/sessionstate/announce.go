package sessionstate

import (
	"encoding/json"
	"errors"
)

// Announce sends ch with announce, sealed, and plain for the gateways of the previous release.
func (c *Cache) Announce(ch Change, announce func(subject string, data []byte) error) error {
	sealed, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	ch.Sealed = true
	plain, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	return errors.Join(announce(SealedSubject, c.keys.Seal(SealedSubject, sealed)), announce(Subject, plain))
}

// OpenChange reads a sealed announcement; false when it is from another installation.
func (c *Cache) OpenChange(data []byte) (Change, bool) {
	var ch Change
	plain, ok := c.keys.Open(SealedSubject, data)
	if !ok || json.Unmarshal(plain, &ch) != nil {
		return Change{}, false
	}
	return ch, true
}
