package sealing

import "encoding/base64"

// SealCursor returns the cursor of a list: the position after a key, readable only by OpenCursor of
// the same user's data key with the same realm and prefix. It is safe in a URL.
func (d *DataKey) SealCursor(realm, prefix, after string) (string, error) {
	sealed, err := d.aead.Encrypt([]byte(after), cursorContext(d.user, realm, prefix))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// OpenCursor returns the key in a cursor; false when the cursor was not made for this user, realm
// and prefix.
func (d *DataKey) OpenCursor(realm, prefix, cursor string) (after string, ok bool) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return "", false
	}
	plain, err := d.aead.Decrypt(sealed, cursorContext(d.user, realm, prefix))
	return string(plain), err == nil
}

// cursorContext returns the associated data of a cursor. No realm contains a NUL, so the fields
// cannot be shifted.
func cursorContext(user, realm, prefix string) []byte {
	return []byte("realmgate vault cursor 1\x00" + user + "\x00" + realm + "\x00" + prefix)
}
