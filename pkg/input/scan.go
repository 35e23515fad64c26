package input

import (
	"bytes"
	"errors"
	"hash/maphash"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// maxBodyDepth bounds the nesting of a whole body, because each level costs memory. Stored fields
// have the lower bound maxDepth, whose error names the field.
const maxBodyDepth = 1000

var errTooDeep = errors.New("nested too deep")

// scanner reads JSON token by token and needs little memory. Unlike the decoder's ReadValue it does
// not recurse. To find duplicate names it keeps 8 bytes for each name of an open object, where the
// decoder keeps a map of copies.
type scanner struct {
	dec   *jsontext.Decoder
	depth int  // the most levels
	names bool // duplicate names are refused
	seed  maphash.Seed
	seen  []uint64 // hashes of the names of the open objects, the innermost object's last
	open  []int    // where the hashes of each open object begin
	text  []byte   // the last name that had to be unescaped
}

func newScanner(text []byte, depth int, uniqueNames bool) *scanner {
	// The decoder reads a bytes.Buffer where it is, without a copy.
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	return &scanner{dec: dec, depth: depth, names: uniqueNames, seed: maphash.MakeSeed()}
}

// name reads the name of a member; it is valid until the next call.
func (s *scanner) name() ([]byte, error) {
	if s.dec.PeekKind() != jsontext.KindString {
		if _, err := s.dec.ReadToken(); err != nil {
			return nil, err
		}
		return nil, s.fault(jsontext.ErrNonStringName)
	}
	quoted, err := s.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	s.text, err = jsontext.AppendUnquote(s.text[:0], quoted)
	return s.text, err
}

// value reads the next value with everything inside it.
func (s *scanner) value() error {
	outside := s.dec.StackDepth()
	for {
		kind := s.dec.PeekKind()
		if kind == jsontext.KindString && s.atName(outside) {
			if err := s.member(); err != nil {
				return err
			}
			continue
		}
		if _, err := s.dec.ReadToken(); err != nil {
			return err
		}
		if err := s.nesting(kind); err != nil {
			return err
		}
		if s.dec.StackDepth() == outside {
			return nil
		}
	}
}

// atName reports whether the next string is the name of a member of an object below the outermost
// levels.
func (s *scanner) atName(outside int) bool {
	depth := s.dec.StackDepth()
	kind, n := s.dec.StackIndex(depth)
	return depth > outside && kind == jsontext.KindBeginObject && n%2 == 0
}

func (s *scanner) member() error {
	name, err := s.name()
	if err == nil && s.names {
		s.seen = append(s.seen, maphash.Bytes(s.seed, name))
	}
	return err
}

// nesting updates the state after a token that may have begun or ended an array or an object.
func (s *scanner) nesting(kind jsontext.Kind) error {
	switch kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if s.dec.StackDepth() > s.depth {
			return s.fault(errTooDeep)
		}
		if kind == jsontext.KindBeginObject {
			s.open = append(s.open, len(s.seen))
		}
	case jsontext.KindEndObject:
		begin := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		own := s.seen[begin:]
		s.seen = s.seen[:begin]
		// Two names of one object have the same hash by chance once in 10^10 objects of 50,000
		// names.
		slices.Sort(own)
		for i := range own {
			if i > 0 && own[i] == own[i-1] {
				return s.fault(jsontext.ErrDuplicateName)
			}
		}
	}
	return nil
}

// fault returns a syntax error at the value that was read last.
func (s *scanner) fault(err error) error {
	return &jsontext.SyntacticError{ByteOffset: s.dec.InputOffset(), JSONPointer: s.dec.StackPointer(), Err: err}
}
