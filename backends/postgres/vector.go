package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// An embedding is a vector as it comes from a real[] column.
type embedding struct {
	elements []byte // each a length and a float, as in the array
	n        int
	norm     float64
}

const elementSize = 8

// parseEmbedding reads PostgreSQL's binary format of a real[]. It refuses what cannot be compared: other
// than one dimension, nulls, NaN and infinities; and forms that PostgreSQL would not give back unchanged,
// so that the digest of what is stored is that of what came.
func parseEmbedding(raw []byte) (embedding, error) {
	if len(raw) < 12 {
		return embedding{}, errors.New("it is no array")
	}
	field := func(i int) uint32 { return binary.BigEndian.Uint32(raw[4*i:]) }
	switch {
	case field(2) != oidFloat4:
		return embedding{}, errors.New("it is no real[]")
	case field(0) == 0 && len(raw) == 12:
		return embedding{}, nil
	case field(0) != 1 || len(raw) < arrayHeader:
		return embedding{}, fmt.Errorf("it has %d dimensions of indexes: want a plain array", field(0))
	case field(1) != 0:
		return embedding{}, errors.New("it holds nulls, or is cut from an array that does")
	case field(4) != 1:
		return embedding{}, errors.New("its indexes do not begin at 1")
	}
	return parseElements(raw[arrayHeader:], int(field(3)))
}

func parseElements(b []byte, n int) (embedding, error) {
	if len(b) != n*elementSize {
		return embedding{}, errors.New("it is no array of reals")
	}
	e := embedding{elements: b, n: n}
	var squares float64
	for i := range n {
		v := e.at(i)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return embedding{}, fmt.Errorf("element %d is %v: want a finite number", i+1, v)
		}
		squares += v * v
	}
	e.norm = math.Sqrt(squares)
	return e, nil
}

func (e embedding) at(i int) float64 {
	return float64(math.Float32frombits(binary.BigEndian.Uint32(e.elements[elementSize*i+4:])))
}

// threshold is the size, in units of the vector's root mean square, above which an element counts as
// positive or negative. 0.6 keeps most of the information of normally distributed elements; in a sparse
// vector every element that is not zero is well above it.
const threshold = 0.6

// signs is the vector in a form in which PostgreSQL compares vectors fast: a bit string, one bit for each
// positive element, then one for each negative one. The number of equal signs less the number of opposite
// ones, by bit_count, is near to the scalar product, also for sparse vectors.
func (e embedding) signs() []byte {
	b := make([]byte, 4+(2*e.n+7)/8)
	binary.BigEndian.PutUint32(b, length(2*e.n))
	limit := threshold * e.norm / math.Sqrt(float64(max(e.n, 1)))
	for i := range e.n {
		switch v := e.at(i); {
		case v > limit:
			b[4+i/8] |= 0x80 >> (i % 8)
		case v < -limit:
			j := e.n + i
			b[4+j/8] |= 0x80 >> (j % 8)
		}
	}
	return b
}
