package qdrant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/outflow-db/outflow/backends"
)

// matrix is a vector, or several of the same length, as it came from a column.
type matrix struct {
	rows int
	all  []float32
}

// PostgreSQL's oids of what arrays can be of.
const (
	oidInt2   = 21
	oidInt4   = 23
	oidInt8   = 20
	oidFloat4 = 700
	oidFloat8 = 701
)

// base is a column's type without the schema that an extension's type may come with.
func base(c backends.Column) string {
	return c.Base[strings.LastIndexByte(c.Base, '.')+1:]
}

// vectorTypes are the types of columns that can be dense vectors, and how they are read.
var vectorTypes = map[string]func([]byte) (matrix, error){
	"real[]":             readArray,
	"double precision[]": readArray,
	"vector":             readVector,
	"halfvec":            readHalfvec,
}

// indexTypes are the types of columns that can be the indices of a sparse vector.
var indexTypes = map[string]bool{"smallint[]": true, "integer[]": true, "bigint[]": true}

var errShort = errors.New("it is not in the form that PostgreSQL sends")

// array is PostgreSQL's binary format of an array of numbers.
type array struct {
	sizes    []int
	oid      uint32
	width    int
	elements []byte // each a length and a number
}

func parseArray(raw []byte) (array, error) {
	if len(raw) < 12 {
		return array{}, errShort
	}
	field := func(i int) uint32 { return binary.BigEndian.Uint32(raw[4*i:]) }
	a := array{oid: field(2), width: map[uint32]int{oidInt2: 2, oidInt4: 4, oidInt8: 8, oidFloat4: 4, oidFloat8: 8}[field(2)]}
	dimensions := field(0)
	if a.width == 0 || dimensions > 2 || len(raw) < 12+8*int(dimensions) {
		return array{}, fmt.Errorf("it is no array of numbers in one or two dimensions: %d dimensions of type %d", dimensions, a.oid)
	}
	n := 1
	for i := range int(dimensions) {
		size := int(field(3 + 2*i))
		a.sizes = append(a.sizes, size)
		n *= min(size, len(raw)) // no more than there is
	}
	if dimensions == 0 {
		n = 0
	}
	a.elements = raw[12+8*int(dimensions):]
	if len(a.elements) != n*(4+a.width) {
		return array{}, errors.New("it holds nulls, or is cut")
	}
	for i := range n {
		if binary.BigEndian.Uint32(a.elements[i*(4+a.width):]) != uint32(a.width) { //nolint:gosec // up to 8
			return array{}, errors.New("it holds nulls")
		}
	}
	return a, nil
}

func (a array) len() int { return len(a.elements) / (4 + a.width) }

// bits are those of an element.
func (a array) bits(i int) []byte { return a.elements[i*(4+a.width)+4 : (i+1)*(4+a.width)] }

// readArray reads a real[] or double precision[], of one or two dimensions.
func readArray(raw []byte) (matrix, error) {
	a, err := parseArray(raw)
	if err != nil {
		return matrix{}, err
	}
	if a.oid != oidFloat4 && a.oid != oidFloat8 {
		return matrix{}, errors.New("its elements are no floating-point numbers")
	}
	m := matrix{rows: 1, all: make([]float32, a.len())}
	if len(a.sizes) == 2 {
		m.rows = a.sizes[0]
	}
	for i := range m.all {
		if a.oid == oidFloat4 {
			m.all[i] = math.Float32frombits(binary.BigEndian.Uint32(a.bits(i)))
		} else {
			m.all[i] = float32(math.Float64frombits(binary.BigEndian.Uint64(a.bits(i))))
		}
	}
	return m, finite(m.all)
}

// finite refuses what cannot be compared.
func finite(list []float32) error {
	for i, v := range list {
		if v != v || math.IsInf(float64(v), 0) {
			return fmt.Errorf("element %d is %v: want a finite number of 32 bits", i+1, v)
		}
	}
	return nil
}

// readVector reads pgvector's vector: the number of elements, two bytes without meaning, the elements.
func readVector(raw []byte) (matrix, error) {
	if len(raw) < 4 || len(raw) != 4+4*int(binary.BigEndian.Uint16(raw)) {
		return matrix{}, errShort
	}
	all := make([]float32, (len(raw)-4)/4)
	for i := range all {
		all[i] = math.Float32frombits(binary.BigEndian.Uint32(raw[4+4*i:]))
	}
	return matrix{1, all}, finite(all)
}

// readHalfvec reads pgvector's halfvec, which is a vector of numbers of 16 bits.
func readHalfvec(raw []byte) (matrix, error) {
	if len(raw) < 4 || len(raw) != 4+2*int(binary.BigEndian.Uint16(raw)) {
		return matrix{}, errShort
	}
	all := make([]float32, (len(raw)-4)/2)
	for i := range all {
		all[i] = half(binary.BigEndian.Uint16(raw[4+2*i:]))
	}
	return matrix{1, all}, finite(all)
}

// half is an IEEE number of 16 bits.
func half(b uint16) float32 {
	sign, exponent, fraction := uint32(b>>15), int(b>>10&0x1f), uint32(b&0x3ff)
	switch exponent {
	case 0x1f:
		return math.Float32frombits(sign<<31 | 0xff<<23 | fraction<<13)
	case 0:
		v := math.Ldexp(float64(fraction), -24)
		if sign == 1 {
			v = -v
		}
		return float32(v)
	default:
		return math.Float32frombits(sign<<31 | uint32(exponent-15+127)<<23 | fraction<<13)
	}
}

// sparseOf joins the columns of a sparse vector.
func sparseOf(indices, values []byte) ([]uint32, []float32, error) {
	at, err := parseArray(indices)
	if err != nil {
		return nil, nil, fmt.Errorf("its indices: %w", err)
	}
	m, err := readArray(values)
	if err != nil {
		return nil, nil, fmt.Errorf("its values: %w", err)
	}
	if at.len() != len(m.all) || len(at.sizes) > 1 || m.rows != 1 {
		return nil, nil, fmt.Errorf("it has %d indices and %d values: want two lists of the same length", at.len(), len(m.all))
	}
	list, seen := make([]uint32, at.len()), make(map[uint32]bool, at.len())
	for i := range list {
		n, ok := at.index(i)
		if !ok || seen[n] {
			return nil, nil, fmt.Errorf("index %d cannot be: want each from 0 to 4294967295, once", i+1)
		}
		list[i], seen[n] = n, true
	}
	return list, m.all, nil
}

// index is an element as an index.
func (a array) index(i int) (uint32, bool) {
	var n int64
	switch bits := a.bits(i); a.oid {
	case oidInt2:
		n = int64(int16(binary.BigEndian.Uint16(bits))) //nolint:gosec // the same bits
	case oidInt4:
		n = int64(int32(binary.BigEndian.Uint32(bits))) //nolint:gosec // the same bits
	case oidInt8:
		n = int64(binary.BigEndian.Uint64(bits)) //nolint:gosec // the same bits
	default:
		return 0, false
	}
	return uint32(n), n >= 0 && n <= math.MaxUint32 //nolint:gosec // it is looked at
}

// sparsevecOf reads pgvector's sparsevec: dimensions, how many elements, a number without meaning, indices, values.
func sparsevecOf(raw []byte) ([]uint32, []float32, error) {
	if len(raw) < 12 || uint64(len(raw)) != 12+8*uint64(binary.BigEndian.Uint32(raw[4:])) {
		return nil, nil, errShort
	}
	n := (len(raw) - 12) / 8
	indices, values := make([]uint32, n), make([]float32, n)
	for i := range n {
		indices[i] = binary.BigEndian.Uint32(raw[12+4*i:])
		values[i] = math.Float32frombits(binary.BigEndian.Uint32(raw[12+4*n+4*i:]))
	}
	return indices, values, finite(values)
}
