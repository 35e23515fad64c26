package tlsfiles

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestOnlyAuthenticatedCipherSuitesAreOffered(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("door", 10)
	addr := echo(t, opened(t, cert, key, ""))
	taken := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			continue // its suites cannot be chosen, and are all AEAD
		}
		client := tls.Client(connect(t, addr),
			&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		err := says(client, "hello")
		aead := strings.HasSuffix(suite.Name, "GCM_SHA256") || strings.HasSuffix(suite.Name, "GCM_SHA384") ||
			strings.Contains(suite.Name, "POLY1305")
		switch {
		case err == nil && !aead:
			t.Errorf("%s is taken", suite.Name)
		case err != nil && aead && strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA"): // as the certificate's key is
			t.Errorf("%s: %v", suite.Name, err)
		case err == nil:
			taken++
		}
	}
	if taken != 3 {
		t.Errorf("%d suites of TLS 1.2 are taken, want 3", taken)
	}
}
