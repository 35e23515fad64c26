package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/tidwall/wal"

	"github.com/realmgate/realmgate/pkg/atomicfile"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
)

// segment is one folder of the journal: a log of records (tidwall/wal, one file) and a note of how
// many of them are acknowledged.
type segment struct {
	seq     uint64
	dir     string
	sync    bool
	log     *wal.Log // nil while nobody reads or writes it
	batch   wal.Batch
	noted   *os.File
	entries uint64
	acked   uint64
	bytes   int64 // of the log's file
}

const (
	logFile   = "00000000000000000001" // as wal names its first, and here only, file
	ackedFile = "acked"
)

func createSegment(root string, seq uint64, sync bool) (*segment, error) {
	s := &segment{seq: seq, dir: filepath.Join(root, fmt.Sprintf("%020d", seq)), sync: sync}
	err := s.open()
	if err == nil && sync {
		err = errors.Join(atomicfile.SyncDir(s.dir), atomicfile.SyncDir(root))
	}
	if err != nil {
		_ = s.remove() // err says what is wrong
		return nil, err
	}
	return s, nil
}

func (s *segment) open() error {
	log, err := wal.Open(s.dir, &wal.Options{NoSync: !s.sync, SegmentSize: math.MaxInt, NoCopy: true, AllowEmpty: true})
	if err != nil {
		return err
	}
	s.log = log
	return nil
}

// write appends records and returns how many bytes they took. After an error the segment holds what
// it held before, and takes no more.
func (s *segment) write(records [][]byte) (int64, error) {
	b := &s.batch // empty: wal clears it after writing
	var size int64
	for i, r := range records {
		b.Write(s.entries+uint64(i)+1, r)
		size += int64(uvarintLen(uint64(len(r))) + len(r))
	}
	if err := s.log.WriteBatch(b); err != nil {
		// A part may stand in the file: cut back to what was known to be good. wal remembers all of
		// it, so nothing more is written here.
		return 0, errors.Join(err, os.Truncate(filepath.Join(s.dir, logFile), s.bytes))
	}
	return size, nil
}

// read returns up to max records from the first that is not acknowledged.
func (s *segment) read(acked, entries uint64, max int) ([][]byte, error) {
	var out [][]byte
	for i := acked + 1; i <= entries && len(out) < max; i++ {
		r, err := s.log.Read(i)
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// writeAck writes down how many records are acknowledged, twice, so that a half-written note is
// seen to be one. Losing it only ships again.
func (s *segment) writeAck(acked uint64) error {
	if s.noted == nil {
		f, err := os.OpenFile(filepath.Join(s.dir, ackedFile), os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		s.noted = f
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], acked)
	binary.LittleEndian.PutUint64(b[8:], acked)
	_, err := s.noted.WriteAt(b[:], 0)
	return err
}

func (s *segment) close() error {
	var all []error
	if s.log != nil {
		all = append(all, s.log.Close())
		s.log = nil
	}
	if s.noted != nil {
		all = append(all, s.noted.Close())
		s.noted = nil
	}
	return errors.Join(all...)
}

func (s *segment) remove() error { return errors.Join(s.close(), os.RemoveAll(s.dir)) }

// openSegments finds and repairs the segments in root; those that are all acknowledged are removed.
func openSegments(root string, log *slog.Logger) ([]*segment, error) {
	dirs, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var out []*segment
	for _, d := range dirs {
		seq, err := strconv.ParseUint(d.Name(), 10, 64)
		if err != nil || !d.IsDir() || len(d.Name()) != 20 {
			continue
		}
		s := &segment{seq: seq, dir: filepath.Join(root, d.Name())}
		if _, err := s.repair(log); err != nil {
			return nil, err
		}
		if s.acked == s.entries {
			if err := s.remove(); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *segment) int { return int(a.seq) - int(b.seq) })
	return out, nil
}

// repair makes the log readable to its end, finds out what it holds, and reads the note. It reports
// whether the log was changed.
func (s *segment) repair(log *slog.Logger) (changed bool, err error) {
	path := filepath.Join(s.dir, logFile)
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	good, entries := salvage(content)
	switch {
	case !bytes.HasPrefix(content, good):
		log.Error("a segment of the journal is damaged; the events in the damaged part are lost", "segment", s.seq)
		if err := atomicfile.Write(path, good); err != nil {
			return false, err
		}
	case len(good) < len(content):
		log.Warn("the end of a segment of the journal was torn and is cut off", "segment", s.seq, "bytes",
			len(content)-len(good))
		if err := os.Truncate(path, int64(len(good))); err != nil {
			return false, err
		}
	}
	s.entries, s.bytes = uint64(entries), int64(len(good))
	note, err := os.ReadFile(filepath.Join(s.dir, ackedFile))
	if err == nil && len(note) == 16 {
		a, b := binary.LittleEndian.Uint64(note[:8]), binary.LittleEndian.Uint64(note[8:])
		if a == b && a <= s.entries {
			s.acked = a
		}
	}
	return !bytes.Equal(good, content), nil
}

// maxRecord bounds a record: every text of an event is bounded, and JSON makes at most six bytes of
// one.
const maxRecord = 32 << 10

// salvage makes of a log's file one that wal can read to its end, and returns how many records that
// has. What lies between whole records stays as about as many damaged ones as it was, for the
// shipper to count as lost. What follows the last whole record is what a crash left half written,
// and stays as far as it has the form of records.
func salvage(b []byte) (out []byte, records int) {
	out = make([]byte, 0, len(b))
	whole, length := 0, 0 // records and their bytes
	for pos := 0; pos < len(b); {
		if n := recordLen(b[pos:]); n > 0 {
			out = append(out, b[pos:pos+n]...)
			whole, length, records, pos = whole+1, length+n, records+1, pos+n
			continue
		}
		next := pos + 1
		for next < len(b) && recordLen(b[next:]) == 0 {
			next++
		}
		good, framed := scanFrames(b[pos:next])
		if next == len(b) || good == next-pos {
			out = append(out, b[pos:pos+good]...)
			records += framed
		} else {
			pieces := 1
			if whole > 0 {
				pieces = max(1, (next-pos)*whole/length)
			}
			for piece := range slices.Chunk(b[pos:next], (next-pos+pieces-1)/pieces) {
				out = append(binary.AppendUvarint(out, uint64(len(piece))), piece...)
				records++
			}
		}
		pos = next
	}
	return out, records
}

// recordLen returns how long the record that b begins with is with its length, 0 when b does not
// begin with one, or with a damaged one.
func recordLen(b []byte) int {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxRecord || uint64(len(b)-n) < size {
		return 0
	}
	if _, _, ok := decodeRecord(b[n : n+int(size)]); !ok {
		return 0
	}
	return n + int(size)
}

// scanFrames returns how many bytes of b have the form of records, and of how many. A length of
// zero, which a file that the system had grown but not filled is made of, ends it.
func scanFrames(b []byte) (good, records int) {
	for good < len(b) {
		size, n := binary.Uvarint(b[good:])
		if n <= 0 || size == 0 || size > maxRecord || uint64(len(b)-good-n) < size {
			return good, records
		}
		good += n + int(size)
		records++
	}
	return good, records
}

func uvarintLen(x uint64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], x)
}

// A record is the CRC-32C of the rest, the event's id, and the event as it goes to JetStream.
const recordHead = 4 + id.Len

// recordRoom is as long as most records are at most.
const recordRoom = 384

func encodeRecord(e event.Request) ([]byte, error) {
	r, err := e.AppendTo(make([]byte, recordHead, recordRoom))
	if err != nil {
		return nil, err
	}
	if len(e.ID) != id.Len || len(r) > maxRecord {
		return nil, errors.New("the event does not fit into a record")
	}
	copy(r[4:], e.ID)
	binary.LittleEndian.PutUint32(r, crc32.Checksum(r[4:], crc32.MakeTable(crc32.Castagnoli)))
	return r, nil
}

// decodeRecord returns the id and the event of a record, false when it is damaged.
func decodeRecord(r []byte) (eventID string, body []byte, ok bool) {
	// The id is looked at first: readable comes here with whatever it finds.
	if len(r) <= recordHead || !id.Valid(string(r[4:recordHead])) ||
		binary.LittleEndian.Uint32(r) != crc32.Checksum(r[4:], crc32.MakeTable(crc32.Castagnoli)) {
		return "", nil, false
	}
	return string(r[4:recordHead]), r[recordHead:], true
}
