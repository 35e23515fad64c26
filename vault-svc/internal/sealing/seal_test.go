package sealing

import (
	"bytes"
	"strings"
	"testing"
)

func TestSealedBytesOpenOnlyForTheirItem(t *testing.T) {
	t.Parallel()
	key, err := NewDataKey("u")
	if err != nil {
		t.Fatal(err)
	}
	ref, version := Ref{"u", "r", "k"}, NewVersion(1)
	sealed, err := key.Seal(Value, ref, version, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("plain")) {
		t.Fatal("the value is not encrypted")
	}
	if got, err := key.Open(Value, ref, version, sealed); err != nil || string(got) != "plain" {
		t.Fatalf("got %q %v", got, err)
	}
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	other, err := NewDataKey("u")
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another user": func() ([]byte,
			error) {
			return key.Open(Value, Ref{"v", "r", "k"}, version, sealed)
		},
		"another realm": func() ([]byte,
			error) {
			return key.Open(Value, Ref{"u", "", "k"}, version, sealed)
		},
		"another key name": func() ([]byte,
			error) {
			return key.Open(Value, Ref{"u", "r", "l"}, version, sealed)
		},
		"another version":  func() ([]byte, error) { return key.Open(Value, ref, NewVersion(1), sealed) },
		"the other part":   func() ([]byte, error) { return key.Open(Metadata, ref, version, sealed) },
		"a bit turned":     func() ([]byte, error) { return key.Open(Value, ref, version, damaged) },
		"cut short":        func() ([]byte, error) { return key.Open(Value, ref, version, sealed[:20]) },
		"nothing":          func() ([]byte, error) { return key.Open(Value, ref, version, nil) },
		"another data key": func() ([]byte, error) { return other.Open(Value, ref, version, sealed) },
		"the fields' border shifted": func() ([]byte,
			error) {
			return key.Open(Value, Ref{"u", "rk", ""}, version, sealed)
		},
	} {
		if got, err := open(); err == nil || got != nil {
			t.Errorf("%s: opened %q", name, got)
		}
	}
}

func TestADataKeyUnwrapsOnlyForItsUser(t *testing.T) {
	t.Parallel()
	kek, err := GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewDataKey("u")
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := kek.Wrap(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kek.Unwrap("v", wrapped); err == nil {
		t.Error("unwrapped for another user")
	}
	stranger, err := GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Unwrap("u", wrapped); err == nil {
		t.Error("unwrapped with another keyset")
	}
	if _, err := kek.Unwrap("u", wrapped); err != nil {
		t.Error(err)
	}
}

func TestTextThatIsNoKeysetIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "{}", `{"primaryKeyId":1,"key":[]}`,
		`{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacKey",` +
			`"value":"c2VjcmV0","keyMaterialType":"SYMMETRIC"},` +
			`"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`} {
		if _, err := ParseKeyset(text); err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
