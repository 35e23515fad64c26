// Package export provides the formats of an exported log: NDJSON, and CSV for spreadsheets. Start
// reading at New.
package export

import (
	"io"
	"strings"

	"github.com/realmgate/realmgate/pkg/api"
)

// Formats are the names of the formats.
func Formats() []string { return []string{"ndjson", "csv"} }

// Writer writes records in one format.
type Writer struct {
	w       io.Writer
	csv     bool
	columns []string
	count   int64
	buf     []byte
}

// New returns a Writer of the format, one of Formats. The columns are those of a CSV file.
func New(w io.Writer, format string, columns []string) *Writer {
	return &Writer{w: w, csv: format == "csv", columns: columns}
}

// ContentType returns the media type of a format.
func ContentType(format string) string {
	if format == "csv" {
		return "text/csv; charset=utf-8; header=present"
	}
	return "application/x-ndjson"
}

// Begin writes the header line of a CSV file.
func (w *Writer) Begin() error {
	if !w.csv {
		return nil
	}
	return w.line(w.columns)
}

// Record writes a record: as JSON, or as its cells.
func (w *Writer) Record(record any, cells []string) error {
	w.count++
	if w.csv {
		return w.line(cells)
	}
	return w.json(record)
}

// End writes the last line of an NDJSON file, by which a reader knows that it is complete.
func (w *Writer) End() error {
	if w.csv {
		return nil
	}
	return w.json(struct {
		Complete bool  `json:"complete"`
		Count    int64 `json:"count"`
	}{true, w.count})
}

func (w *Writer) json(v any) error {
	line, err := api.Marshal(v)
	if err == nil {
		_, err = w.w.Write(append(line, '\n'))
	}
	return err
}

// line writes cells as RFC 4180, section 2, says.
func (w *Writer) line(cells []string) error {
	b := w.buf[:0]
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		// A spreadsheet would take the cell for a formula.
		if cell != "" && strings.ContainsRune("=+-@\t", rune(cell[0])) {
			cell = "'" + cell
		}
		if strings.ContainsAny(cell, "\",\r\n") {
			b = append(append(append(b, '"'), strings.ReplaceAll(cell, `"`, `""`)...), '"')
		} else {
			b = append(b, cell...)
		}
	}
	w.buf = append(b, '\r', '\n')
	_, err := w.w.Write(w.buf)
	return err
}
