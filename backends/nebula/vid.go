package nebula

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// vidType is the type of the ids of a space's vertices.
type vidType struct{ length int } // in bytes; 0: INT64

const (
	leastVid = 32 // a hashed id has so many bytes
	mostVid  = 4096
)

// parseVid reads INT64 or FIXED_STRING(n).
func parseVid(text string) (vidType, bool) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "INT64" {
		return vidType{}, true
	}
	n, opened := strings.CutPrefix(text, "FIXED_STRING(")
	n, closed := strings.CutSuffix(n, ")")
	length, err := strconv.Atoi(n)
	return vidType{length}, opened && closed && err == nil && length >= leastVid && length <= mostVid
}

// String is the type as a statement has it.
func (v vidType) String() string {
	if v.length == 0 {
		return "INT64"
	}
	return fmt.Sprintf("FIXED_STRING(%d)", v.length)
}

// mark begins the ids that are hashes.
const mark = "~"

// of is the id of a vertex that is called so. Among texts it is the text itself, unless that is too long, or looks like
// a hash: then it is a hash of 186 bits. Among integers it is the integer that the text writes; false: it writes none,
// and a hash of 64 bits would make one vertex of two among some hundred millions.
func (v vidType) of(text string) (ngql.ID, bool) {
	if v.length == 0 {
		n, err := strconv.ParseInt(text, 10, 64)
		return ngql.IntID(n), err == nil && strconv.FormatInt(n, 10) == text
	}
	if strings.IndexByte(text, 0) >= 0 {
		return ngql.ID{}, false
	}
	if len(text) > v.length || len(text) == leastVid && strings.HasPrefix(text, mark) {
		sum := sha256.Sum256([]byte(text))
		return ngql.StringID((mark + base64.RawURLEncoding.EncodeToString(sum[:]))[:leastVid]), true
	}
	return ngql.StringID(text), true
}

// slotOf spreads keys evenly over the positive integers: Scan reads the store by ranges of them.
func slotOf(key string) int64 {
	sum := sha256.Sum256([]byte(key))
	return int64(binary.BigEndian.Uint64(sum[:]) >> 1)
}
