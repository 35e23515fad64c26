package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// greet tells a newcomer what runs and what to try. A generated password is shown here, once, and then forgotten.
func (st *stack) greet(w io.Writer) error {
	url := "http://" + displayAddr(st.gateway.Addr())
	if st.cfg.TLS.Cert != "" {
		url = "https://" + displayAddr(st.gateway.Addr())
	}
	password := "<password>"
	fmt.Fprintf(w, "\nRealmgate is ready at %s  (API reference: %s/docs)\n  data      %s\n  admin     %s\n", url, url, st.dir.path, st.cfg.AdminEmail)
	if data := st.backing.data; data != "" && !strings.HasPrefix(data, st.dir.path+string(filepath.Separator)) {
		fmt.Fprintf(w, "  database  %s  (PostgreSQL, which does not run as root, may not enter the folder above: back both up)\n", data)
	}
	if st.password != "" {
		password = st.password
		fmt.Fprintf(w, "  password  %s  (generated, shown this once; PATCH /api/v1/users/{id} changes it)\n", password)
	}
	fmt.Fprintf(w, `
Try:
  curl -s %[1]s/api/v1/auth/config
  TOKEN=$(curl -s %[1]s/api/v1/users/auth/login -H 'Content-Type: application/json' -d '{"email":"%[2]s","password":"%[3]s"}' | sed -E 's/.*"token":"([^"]+)".*/\1/')
  curl -s -X PUT %[1]s/api/v1/vault/keys/hello -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"value":"world"}'

Ctrl-C stops it; the data stays.
`, url, st.cfg.AdminEmail, password)
	return st.forgetPassword()
}

// forgetPassword notes that somebody knows the admin's password: the generated one, which was shown, or the one that was given when there was none yet.
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
