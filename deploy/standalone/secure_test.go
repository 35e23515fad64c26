package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestTheWholeProductSpeaksTLS: clients use TLS to reach the gateway, the gateway uses mutual TLS
// to reach each service, and services refuse clients without a certificate.
func TestTheWholeProductSpeaksTLS(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("realmgate", 1)
	environ := []string{
		"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0", "DATABASE_URL=" + testkit.Postgres(t),
		"ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + adminPassword,
		"LOG_LEVEL=error", "DATABASE_MAX_CONNS=4", "TLS_CERT_FILE=" + cert, "TLS_KEY_FILE=" + key,
		"INTERNAL_TLS_CERT_FILE=" + cert, "INTERNAL_TLS_KEY_FILE=" + key, "INTERNAL_TLS_CA_FILE=" + a.File,
		"INTERNAL_TLS_GATEWAY_NAME=realmgate",
	}
	cfg, err := load(environ)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	st, err := newStack(ctx, cfg, environ, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	services := st.services // run sets the field to nil
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- st.run(ctx, func() { close(ready) }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-ready: // the gateway fetched the public keys through mutual TLS
	case <-time.After(readyTimeout):
		t.Fatal("not ready in time")
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Post("https://"+st.gateway.Addr()+"/api/v1/users/auth/login", "application/json",
		strings.NewReader(`{"email":"`+adminEmail+`","password":"`+adminPassword+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("login over TLS: %d", res.StatusCode)
	}
	for _, svc := range services {
		if svc == st.gateway {
			continue
		}
		if res, err := client.Get("https://" + svc.Addr() + "/"); err == nil {
			t.Errorf("%s answers %d to a client without a certificate", svc.Name(), res.StatusCode)
		}
		if res, err := client.Get("http://" + svc.Addr() + "/"); err == nil {
			t.Errorf("%s answers %d without TLS", svc.Name(), res.StatusCode)
		}
	}
}
