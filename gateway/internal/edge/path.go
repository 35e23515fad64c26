package edge

import "bytes"

// PathFault is the result of CheckPath.
type PathFault uint8

const (
	PathFine      PathFault = iota
	PathAmbiguous           // servers disagree about what it names
	// only its last segment holds what no segment may hold: a wrong vault key on routes that end in
	// one
	InvalidKey
)

// CheckPath checks the raw path, whose bytes are routed and forwarded as they are. Only the last
// segment may be empty. Forbidden are "." and ".." (also encoded), a backslash, an encoded
// separator or NUL, and a broken encoding.
func CheckPath(path []byte) PathFault {
	last := bytes.LastIndexByte(path, '/')
	for start := 1; start <= len(path); {
		end := bytes.IndexByte(path[start:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += start
		}
		final := start == last+1
		switch fault := checkSegment(path[start:end], final); fault {
		case PathFine:
		case InvalidKey:
			return InvalidKey
		default:
			return PathAmbiguous
		}
		start = end + 1
	}
	return PathFine
}

func checkSegment(s []byte, final bool) PathFault {
	if len(s) == 0 && !final {
		return PathAmbiguous
	}
	dots, odd := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			return PathAmbiguous
		case c == '%':
			hi, lo := -1, -1
			if i+2 < len(s) {
				hi, lo = unhex(s[i+1]), unhex(s[i+2])
			}
			if hi < 0 || lo < 0 {
				odd = true
				continue
			}
			if c = byte(hi<<4 | lo); c == '/' || c == '\\' || c == 0 {
				odd = true
			}
			i += 2
		}
		if c == '.' {
			dots++
		} else {
			dots = 3
		}
	}
	switch {
	case dots == 1 || dots == 2:
		return PathAmbiguous
	case odd && final:
		return InvalidKey
	case odd:
		return PathAmbiguous
	}
	return PathFine
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
