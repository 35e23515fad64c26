package edge

// validHost reports whether the value of a Host header is a name or an IP literal of at most 255
// characters, with or without a port.
func validHost(host []byte) bool {
	if len(host) == 0 || len(host) > 255+len(":65535") {
		return false
	}
	for _, c := range host {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']', c == '%':
		default:
			return false
		}
	}
	return true
}
