package mail

import (
	"embed"
	"strconv"
	"strings"
)

//go:embed templates/*
var templates embed.FS

// Message is a mail: its template, its recipient, and the values of the template.
type Message struct {
	Template string // the base name of two files in templates, one for text and one for HTML
	Token    string // the token in Link; "" for none
	UserID   string
	To       string
	App      string // the product's name
	Name     string // the recipient's name
	Link     string
	URL      string // of the product
	Hours    int    // the lifetime of Link
}

func (m Message) subject() string {
	switch m.Template {
	case "verify":
		return "Verify your e-mail address for " + m.App
	case "reset":
		return "Reset your password for " + m.App
	case "email_change":
		return "Confirm your new e-mail address for " + m.App
	case "email_notice":
		return "The e-mail address of your account at " + m.App + " is to be changed"
	case "test":
		return "Test mail of " + m.App
	default:
		return "Your account at " + m.App
	}
}

// render fills the template whose file has the ending, with values passed through escape. It does
// not use text/template, which calls methods by name: the linker would keep every exported method
// of every type, about ten megabytes.
func (m Message) render(ending string, escape func(string) string) (string, error) {
	content, err := templates.ReadFile("templates/" + m.Template + ending)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(
		"{{.App}}", escape(m.App), "{{.Name}}", escape(m.Name), "{{.Link}}", escape(m.Link), "{{.URL}}", escape(m.URL),
		"{{.Hours}}", strconv.Itoa(m.Hours),
	).Replace(string(content)), nil
}
