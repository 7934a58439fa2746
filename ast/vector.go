package ast

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// Vector is an embedding's numbers. It is an array of numbers in JSON, where it has no NaN and no infinity.
type Vector []float32

// MarshalJSON writes the shortest numbers that are read back as the same ones.
func (v Vector) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 4*len(v)+2), '[')
	for i, f := range v {
		if !finite(f) {
			return nil, fmt.Errorf("element %d of a vector is %v: want a finite number", i, f)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(f), 'g', -1, 32)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON reads an array of numbers. It is called with valid JSON, and leaves out the reflection
// that hundreds of numbers for each symbol would cost.
func (v *Vector) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		*v = nil
		return nil
	}
	if len(data) < 2 || data[0] != '[' {
		return fmt.Errorf("a vector is %.20s: want an array of numbers", data)
	}
	rest := bytes.TrimSpace(data[1 : len(data)-1])
	numbers := make(Vector, 0, bytes.Count(rest, []byte(","))+1)
	for len(rest) > 0 {
		var element []byte
		element, rest, _ = bytes.Cut(rest, []byte(","))
		element = bytes.TrimSpace(element)
		f, err := parseFloat(element)
		if err != nil {
			return fmt.Errorf("element %d of a vector is %.20s: want a number that fits 32 bits", len(numbers), element)
		}
		numbers = append(numbers, f)
	}
	*v = numbers
	return nil
}

// parseFloat is quick about zeros, of which there are many.
func parseFloat(b []byte) (float32, error) {
	if len(b) == 1 && b[0] == '0' {
		return 0, nil
	}
	f, err := strconv.ParseFloat(string(b), 32)
	return float32(f), err
}

func finite(f float32) bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }
