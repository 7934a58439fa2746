// Package content compares documents as stores keep them: JSON whose numbers are exact.
package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// ErrNoObject is the error of a document that is no JSON object.
var ErrNoObject = errors.New("the document is no JSON object")

// Differ names the members of two JSON objects that are not the same value, in order: other, missing or too many.
// Members that are written alike are not looked into. Nothing, of no bytes, is an object without members.
func Differ(want, have []byte) ([]string, error) {
	wanted, err := members(want)
	if err != nil {
		return nil, err
	}
	held, err := members(have)
	if err != nil {
		return nil, err
	}
	differ := map[string]bool{}
	for name, w := range wanted {
		h, there := held[name]
		if !there || w != h && !same(w, h) {
			differ[name] = true
		}
	}
	for name := range held {
		if _, there := wanted[name]; !there {
			differ[name] = true
		}
	}
	return slices.Sorted(maps.Keys(differ)), nil
}

// members are an object's values as they are written.
func members(doc []byte) (map[string]string, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	object := gjson.ParseBytes(doc)
	if !object.IsObject() || !gjson.ValidBytes(doc) {
		return nil, ErrNoObject
	}
	all := map[string]string{}
	object.ForEach(func(name, v gjson.Result) bool {
		all[name.String()] = v.Raw
		return true
	})
	return all, nil
}

// same says whether two JSON texts are the same value.
func same(a, b string) bool {
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && equal(x, y)
}

// decode keeps numbers as their text.
func decode(text string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading a value: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading a value: there is more behind it")
	}
	return v, nil
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && SameNumber(a.String(), b.String())
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	default: // null, a boolean, a text
		switch b.(type) {
		case json.Number, []any, map[string]any:
			return false
		}
		return a == b
	}
}

// SameNumber compares two decimal numbers exactly, whatever their notation: 1.10 is 1.1 and 11e-1. -0 is not 0.
func SameNumber(a, b string) bool {
	x, xe := decimal(a)
	y, ye := decimal(b)
	return x == y && (xe == ye || x == "" || x == "-")
}

// decimal is a number as its digits, without zeros around them, and the power of ten that they begin at.
func decimal(s string) (digits string, exponent int) {
	sign := ""
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		sign, s = "-", rest
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil { // no number of ours has such an exponent
			return sign + s, 0
		}
		exponent, s = n, s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	exponent += len(whole)
	digits = whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(trimmed)
	return sign + strings.TrimRight(trimmed, "0"), exponent
}
