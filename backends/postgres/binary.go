package postgres

import "encoding/binary"

// PostgreSQL's oids of the types that Write sends.
const (
	oidText     = 25
	oidInt8     = 20
	oidInt4     = 23
	oidFloat4   = 700
	oidVarbit   = 1562
	oidBool     = 16
	oidTSVector = 3614

	oidTexts     = 1009
	oidInt8s     = 1016
	oidInt4s     = 1007
	oidFloat4s   = 1021
	oidVarbits   = 1563
	oidBools     = 1000
	oidTSVectors = 3643
)

// array builds a one-dimensional array in PostgreSQL's binary format. A batch goes to the server as one
// array per column: one statement whatever the size, and nothing is turned into text on the way.
type array struct {
	b []byte
	n int
}

const arrayHeader = 20

func newArray(oid uint32, size int) *array {
	b := make([]byte, arrayHeader, arrayHeader+size)
	binary.BigEndian.PutUint32(b[0:], 1) // dimensions
	binary.BigEndian.PutUint32(b[4:], 1) // may hold nulls
	binary.BigEndian.PutUint32(b[8:], oid)
	binary.BigEndian.PutUint32(b[16:], 1) // the first index
	return &array{b: b}
}

// length is a length or an index: a request is far below 2 GiB, see maxBytes.
func length(n int) uint32 { return uint32(n) } //nolint:gosec // see above

func (a *array) null() {
	a.b = append(a.b, 0xff, 0xff, 0xff, 0xff)
	a.n++
}

func (a *array) bytes(v []byte) {
	a.b = append(binary.BigEndian.AppendUint32(a.b, length(len(v))), v...)
	a.n++
}

func (a *array) text(s string) {
	a.b = append(binary.BigEndian.AppendUint32(a.b, length(len(s))), s...)
	a.n++
}

// append adds an element that write appends to what it is given.
func (a *array) append(write func([]byte) []byte) {
	start := len(a.b)
	a.b = write(append(a.b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(a.b[start:], length(len(a.b)-start-4))
	a.n++
}

func (a *array) int8(v int64) {
	a.b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(a.b, 8), uint64(v)) //nolint:gosec // the same bits
	a.n++
}

func (a *array) int4(v int) {
	a.b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(a.b, 4), length(v))
	a.n++
}

func (a *array) bool(v bool) {
	a.b = append(a.b, 0, 0, 0, 1, 0)
	if v {
		a.b[len(a.b)-1] = 1
	}
	a.n++
}

// elements appends n elements that are in the array's form already.
func (a *array) elements(b []byte, n int) {
	a.b = append(a.b, b...)
	a.n += n
}

// encode is the array; it may not be added to afterwards.
func (a *array) encode() []byte {
	if a.n == 0 { // PostgreSQL's empty array has no dimension
		binary.BigEndian.PutUint32(a.b, 0)
		return a.b[:12]
	}
	binary.BigEndian.PutUint32(a.b[12:], length(a.n))
	return a.b
}
