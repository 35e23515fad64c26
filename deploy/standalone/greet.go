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

// greet tells a newcomer what is running and what to try. It shows a generated password once; after
// that the password is not stored any more.
func (st *stack) greet(ctx context.Context, w io.Writer) error {
	url := "http://" + displayAddr(st.gateway.Addr())
	if st.cfg.TLS.Cert != "" {
		url = "https://" + displayAddr(st.gateway.Addr())
	}
	admin, password := st.admin(ctx), "<password>"
	fmt.Fprintf(w, "\nRealmgate is ready at %s  (API reference: %s/docs)\n  data      %s\n  admin     %s\n", url, url,
		st.dir.path, admin)
	if data := st.backing.data; data != "" && !strings.HasPrefix(data, st.dir.path+string(filepath.Separator)) {
		fmt.Fprintf(w, "  database  %s  (PostgreSQL, which does not run as root, may not enter the folder above: "+
			"back both up)\n", data)
	}
	if st.password != "" {
		password = st.password
		fmt.Fprintf(w, "  password  %s  (generated, shown this once; standalone admin password sets another)\n",
			password)
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

// admin returns the e-mail address of an admin, preferably the one in the settings.
func (st *stack) admin(ctx context.Context) string {
	email, err := users.AdminEmail(ctx, config.Secret(st.backing.databaseURL("users_svc")), st.cfg.AdminEmail)
	if err != nil || email == "" {
		return st.cfg.AdminEmail
	}
	return email
}

// metricsAddrs lists the addresses of the services' metrics.
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

// forgetPassword records that the admin's password is known to a person: it was generated and
// shown, or the operator set it for a database without an admin.
func (st *stack) forgetPassword() error {
	if _, err := os.Stat(st.dir.sub(shownMarker)); err == nil {
		return nil
	}
	secret := st.dir.sub("secrets/admin-password")
	if _, err := os.Stat(secret); st.password == "" && !errors.Is(err, fs.ErrNotExist) {
		return err // generated, but not shown yet: it is the admin's password
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

// displayAddr replaces a wildcard listen address by one that a person can open.
func displayAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || (ip != nil && ip.IsUnspecified())) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
