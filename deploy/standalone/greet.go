package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/users-svc"
)

// greet tells a newcomer what runs and what to try. A generated password is shown here, once, and
// then forgotten.
func (st *stack) greet(ctx context.Context, w io.Writer) error {
	url := "http://" + displayAddr(st.gateway.Addr())
	if st.cfg.TLS.Cert != "" {
		url = "https://" + displayAddr(st.gateway.Addr())
	}
	admin, password := st.admin(ctx), "<password>"
	fmt.Fprintf(w, "\nRealmgate is ready at %s  (API reference: %s/docs)\n  data      %s\n  admin     %s\n", url, url,
		st.dir.path, admin)
	if data := st.backing.data; data != "" && !strings.HasPrefix(data, st.dir.path+string(filepath.Separator)) {
		fmt.Fprintf(w, "  database  %s  (PostgreSQL, which does not run as root, may not enter the folder above: back both up)\n", data)
	}
	if st.password != "" {
		password = st.password
		fmt.Fprintf(w, "  password  %s  (generated, shown this once; standalone admin password sets another)\n", password)
	}
	fmt.Fprintf(w, "  metrics   %s\n", st.metricsAddrs())
	fmt.Fprintf(w, `
Try:
  curl -s %[1]s/api/v1/auth/config
  TOKEN=$(curl -s %[1]s/api/v1/users/auth/login -H 'Content-Type: application/json' -d '{"email":"%[2]s","password":"%[3]s"}' | sed -E 's/.*"token":"([^"]+)".*/\1/')
  curl -s -X PUT %[1]s/api/v1/vault/keys/hello -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"value":"world"}'

Ctrl-C stops it; the data stays.
`, url, admin, password)
	return st.forgetPassword()
}

// admin returns the address of an admin: the one that the settings name if it is one.
func (st *stack) admin(ctx context.Context) string {
	email, err := users.AdminEmail(ctx, config.Secret(st.backing.databaseURL("users_svc")), st.cfg.AdminEmail)
	if err != nil || email == "" {
		return st.cfg.AdminEmail
	}
	return email
}

// metricsAddrs lists where the metrics of each service are.
func (st *stack) metricsAddrs() string {
	list := "http://" + displayAddr(st.gateway.AdminAddr()) + "/metrics (gateway)"
	for _, svc := range st.services {
		if svc != st.gateway {
			_, port, _ := net.SplitHostPort(svc.AdminAddr())
			list += fmt.Sprintf(", :%s (%s)", port, svc.Name())
		}
	}
	return list
}

// forgetPassword notes that somebody knows the admin's password: the generated one, which was
// shown, or the one that was given when there was none yet.
func (st *stack) forgetPassword() error {
	if _, err := os.Stat(st.dir.sub(shownMarker)); err == nil {
		return nil
	}
	secret := st.dir.sub("secrets/admin-password")
	if _, err := os.Stat(secret); st.password == "" && !errors.Is(err, fs.ErrNotExist) {
		return err // generated, and not shown since: it is the one that counts
	}
	if err := os.WriteFile(st.dir.sub(shownMarker), nil, 0o600); err != nil {
		return err
	}
	if err := os.Remove(secret); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	st.password = ""
	return nil
}

// displayAddr turns "listen everywhere" into an address that a person can call.
func displayAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || (ip != nil && ip.IsUnspecified())) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
