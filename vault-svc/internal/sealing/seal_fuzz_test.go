package sealing

import (
	"bytes"
	"testing"
)

// FuzzSealedItem checks that only sealed bytes open, and only for their own item.
func FuzzSealedItem(f *testing.F) {
	key, err := NewDataKey("u")
	if err != nil {
		f.Fatal(err)
	}
	ref, version := Ref{"u", "r", "k"}, NewVersion(1)
	sealed, err := key.Seal(Value, ref, version, []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, "u", "r", "k")
	f.Add(sealed, "u", "", "rk")
	f.Add(sealed, "u\x00r", "", "k")
	f.Add(sealed[:len(sealed)-1], "u", "r", "k")
	f.Add(sealed[:5], "u", "r", "k") // Tink's prefix alone
	f.Add([]byte{}, "u", "r", "k")
	f.Fuzz(func(t *testing.T, b []byte, user, realm, name string) {
		at := Ref{user, realm, name}
		got, err := key.Open(Value, at, version, b)
		if want := bytes.Equal(b, sealed) && at == ref; (err == nil) != want {
			t.Fatalf("%x at %v: %q, %v", b, at, got, err)
		}
		if err != nil && got != nil {
			t.Fatalf("%x does not open, but is %q", b, got)
		}
		if got, err := key.Open(Metadata, at, version, b); err == nil {
			t.Fatalf("%x opened as metadata: %q", b, got)
		}
	})
}

// FuzzWrappedDataKey checks that only wrapped keys unwrap, and only for their own user.
func FuzzWrappedDataKey(f *testing.F) {
	kek, err := GenerateKeyset()
	if err != nil {
		f.Fatal(err)
	}
	key, err := NewDataKey("u")
	if err != nil {
		f.Fatal(err)
	}
	wrapped, err := kek.Wrap(key)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := kek.Reveal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped, "u")
	f.Add(wrapped, "v")
	f.Add(wrapped[:len(wrapped)/2], "u")
	f.Add(append(bytes.Clone(wrapped), 0), "u")
	f.Add([]byte(plain), "u") // a cleartext keyset is refused too
	f.Add([]byte{}, "u")
	f.Fuzz(func(t *testing.T, b []byte, user string) {
		got, err := kek.Unwrap(user, b)
		if err == nil && user != "u" {
			t.Fatalf("%x unwrapped for %q", b, user)
		}
		if err != nil {
			if got != nil {
				t.Fatalf("%x does not unwrap, but there is a key", b)
			}
			return
		}
		// The ciphertext is inside a protobuf message, which has several valid encodings. Every
		// encoding that unwraps must give the same key.
		ref, version := Ref{"u", "r", "k"}, NewVersion(1)
		sealed, err := got.Seal(Value, ref, version, []byte("plain"))
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := key.Open(Value, ref, version, sealed); err != nil || string(opened) != "plain" {
			t.Fatalf("%x unwrapped to another key", b)
		}
	})
}
