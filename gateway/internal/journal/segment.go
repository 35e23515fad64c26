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

// segment is one folder of the journal: a log of records (tidwall/wal, one file), and a file with
// the number of acknowledged records.
type segment struct {
	seq     uint64
	dir     string
	sync    bool
	log     *wal.Log // nil while it is neither read nor written
	batch   wal.Batch
	ackFile *os.File
	entries uint64
	acked   uint64
	bytes   int64 // of the log's file
}

const (
	logFileName = "00000000000000000001" // wal's name for its first file; there is only one here
	ackFileName = "acked"
)

func createSegment(root string, seq uint64, sync bool) (*segment, error) {
	s := &segment{seq: seq, dir: filepath.Join(root, fmt.Sprintf("%020d", seq)), sync: sync}
	err := s.open()
	if err == nil && sync {
		err = errors.Join(atomicfile.SyncDir(s.dir), atomicfile.SyncDir(root))
	}
	if err != nil {
		_ = s.remove() // the first error is reported
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

// write appends records and returns their size on disk. After an error the segment has the records
// that it had before, and takes no more.
func (s *segment) write(records [][]byte) (int64, error) {
	b := &s.batch // empty: wal clears it after writing
	var size int64
	for i, r := range records {
		b.Write(s.entries+uint64(i)+1, r)
		size += int64(uvarintLen(uint64(len(r))) + len(r))
	}
	if err := s.log.WriteBatch(b); err != nil {
		// A part may be in the file: truncate it to its last good size. wal keeps the whole batch
		// in memory, so nothing more is written to this segment.
		return 0, errors.Join(err, os.Truncate(filepath.Join(s.dir, logFileName), s.bytes))
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

// writeAck stores the number of acknowledged records, twice, so that a half-written file is
// recognised. A lost file only causes events to be shipped again.
func (s *segment) writeAck(acked uint64) error {
	if s.ackFile == nil {
		f, err := os.OpenFile(filepath.Join(s.dir, ackFileName), os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		s.ackFile = f
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], acked)
	binary.LittleEndian.PutUint64(b[8:], acked)
	_, err := s.ackFile.WriteAt(b[:], 0)
	return err
}

func (s *segment) close() error {
	var all []error
	if s.log != nil {
		all = append(all, s.log.Close())
		s.log = nil
	}
	if s.ackFile != nil {
		all = append(all, s.ackFile.Close())
		s.ackFile = nil
	}
	return errors.Join(all...)
}

func (s *segment) remove() error { return errors.Join(s.close(), os.RemoveAll(s.dir)) }

// openSegments finds and repairs the segments in root, and removes those without unacknowledged
// records.
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

// repair makes the log readable to its end, counts its records, and reads the number of
// acknowledged ones. It reports whether the log was changed.
func (s *segment) repair(log *slog.Logger) (changed bool, err error) {
	path := filepath.Join(s.dir, logFileName)
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
	note, err := os.ReadFile(filepath.Join(s.dir, ackFileName))
	if err == nil && len(note) == 16 {
		a, b := binary.LittleEndian.Uint64(note[:8]), binary.LittleEndian.Uint64(note[8:])
		if a == b && a <= s.entries {
			s.acked = a
		}
	}
	return !bytes.Equal(good, content), nil
}

// maxRecord bounds a record. Every text of an event is bounded, and JSON takes at most six bytes
// for one.
const maxRecord = 32 << 10

// salvage returns a log that wal can read to its end, made of the content of a log file, and the
// number of its records. Damage between whole records becomes about as many damaged records as it
// destroyed, which the shipper counts as lost. After the last whole record a crash may have left a
// half-written one; this part stays as far as it has the form of records.
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

// recordLen returns the size of the record, with its length prefix, at the start of b; 0 when there
// is none, or a damaged one.
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

// scanFrames returns the number of bytes of b that have the form of records, and of those records.
// A length of zero ends them: a file that the system has grown but not filled consists of zeros.
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

// recordRoom is the capacity that suffices for most records.
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
	// The id is checked first, because salvage tries every offset.
	if len(r) <= recordHead || !id.Valid(string(r[4:recordHead])) ||
		binary.LittleEndian.Uint32(r) != crc32.Checksum(r[4:], crc32.MakeTable(crc32.Castagnoli)) {
		return "", nil, false
	}
	return string(r[4:recordHead]), r[recordHead:], true
}
