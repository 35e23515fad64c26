package render

import "slices"

// Code is a machine code that an error answer can carry, from the table x-realmgate-codes of the
// document.
type Code struct {
	Code        string `json:"code"`
	Status      int    `json:"status"`      // HTTP status
	Message     string `json:"message"`     // the usual message; an operation may say more
	Description string `json:"description"` // when it happens
	Resolution  string `json:"resolution"`  // what the caller can do
	// Issue is the issue that brings the code, 0 when it is there from the start.
	Issue int `json:"issue"`
}

// Codes returns every code, by status.
func (d *Docs) Codes() []Code { return slices.Clone(d.codes) }

// SharedCodes returns the codes that any operation can answer with; they are not repeated on the
// operations.
func (d *Docs) SharedCodes() []string { return slices.Clone(d.shared) }

// UnprovokedCodes returns the shared codes that no client can provoke on a server in order, so that
// a test cannot demand them.
func (d *Docs) UnprovokedCodes() []string { return slices.Clone(d.unprovoked) }
