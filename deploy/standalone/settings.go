package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/activity-svc"
	"github.com/realmgate/realmgate/gateway"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/vault-svc"
)

// section holds the settings of one part of the process.
type section struct {
	title string
	cfg   any
}

// services returns the settings types of the services, each as a pointer to an empty struct.
func services() []section {
	return []section{
		{"gateway", &gateway.Config{}}, {"users-svc", &users.Config{}}, {"vault-svc", &vault.Config{}},
		{"activity-svc", &activity.Config{}},
	}
}

// printSettings writes each setting once, with its value here. A setting that several services read
// has the same value in all of them.
func printSettings(w io.Writer, environ []string) error {
	printed := map[string]bool{}
	for _, part := range append([]section{{"standalone", &Config{}}}, services()...) {
		var settings []config.Setting
		for _, s := range config.Effective(part.cfg, environ) {
			if printed[s.Name] {
				continue
			}
			printed[s.Name] = true
			switch {
			case s.Name == "DATA_DIR" && s.Source == config.FromDefault:
				s.Value, _ = Config{}.dataDir() // without a home directory the start reports the error
			case slices.Contains(setHere, s.Name):
				s.Value, s.Source = "(set by standalone)", "standalone"
			case s.Required && s.Source == config.FromDefault:
				s.Value, s.Source = "(generated)", "standalone"
			}
			settings = append(settings, s)
		}
		fmt.Fprintf(w, "# %s\n", part.title)
		if err := config.Table(w, settings); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return nil
}

// loadAll fills the settings of standalone, and checks those of the services with placeholders for
// servers and secrets that the start will provide. The error names every wrong setting.
func loadAll(environ []string) (Config, error) {
	cfg, err := load(environ)
	problems := strings.Split(errorText(err), "\n")
	theirs := with(environ, placeholders(cfg, environ)...)
	for _, part := range services() {
		problems = append(problems, strings.Split(errorText(config.Load(part.cfg, theirs)), "\n")...)
	}
	seen := map[string]bool{"": true}
	problems = slices.DeleteFunc(problems, func(text string) bool {
		known := seen[text]
		seen[text] = true
		return known
	})
	if len(problems) == 0 {
		return cfg, nil
	}
	return cfg, errors.New(strings.Join(problems, "\n"))
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// placeholders returns well-formed values for the settings that standalone will give to the
// services.
func placeholders(cfg Config, environ []string) []string {
	scheme := "http"
	if isSet(environ, "INTERNAL_TLS_CERT_FILE") {
		scheme = "https"
	}
	out := []string{"ADMIN_EMAIL=" + cfg.AdminEmail, "ADMIN_PASSWORD=given or generated", "LOG_LEVEL=" + cfg.LogLevel,
		"LOG_FORMAT=" + cfg.LogFormat}
	for _, name := range setHere {
		switch {
		case strings.HasSuffix(name, "_URL"):
			out = append(out, name+"="+scheme+"://"+localAddress)
		case strings.HasSuffix(name, "_ADDR"):
			out = append(out, name+"="+localAddress)
		case name == "INTERNAL_KEYS":
			out = append(out, name+"=")
		case strings.HasSuffix(name, "_INTERNAL_KEYS"):
			out = append(out, name+"="+strings.Repeat(name[:1], 52)) // different values
		}
	}
	keyset, _ := vault.GenerateKeyset() // if this fails, the missing setting is reported
	for name, value := range map[string]string{
		"DATABASE_URL":       "postgres://" + localAddress,
		"KEY_ENCRYPTION_KEY": base64.StdEncoding.EncodeToString(make([]byte, 32)), "VAULT_KEY_ENCRYPTION_KEY": keyset,
	} {
		if !isSet(environ, name) {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// localAddress is a well-formed address where nothing listens.
const localAddress = "127.0.0.1:1"
