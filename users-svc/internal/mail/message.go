package mail

import (
	"embed"
)

//go:embed templates/*
var templates embed.FS

// Message is a mail: its template and recipient, and what the template says.
type Message struct {
	Template        string // the base name of two files in templates
	Token           string // that the link has; "" for none
	UserID          string
	To              string
	App, Name, Link string
	URL             string // of the product
	Hours           int    // how long the link is good for
}
