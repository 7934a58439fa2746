package ast

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"unicode/utf8"
)

// MaxLine is the longest line that ReadNDJSON takes, in bytes.
const MaxLine = 64 << 20

// ReadNDJSON yields the files of r, one a line, see the package documentation. A line that is no file is
// yielded as a *BadFile error with its number, and reading goes on; blank lines are skipped. Any other
// error is one of r and the last. The sequence can be consumed once.
func ReadNDJSON(r io.Reader) iter.Seq2[*SourceFile, error] {
	return readLines(r, MaxLine)
}

func readLines(r io.Reader, longest int) iter.Seq2[*SourceFile, error] {
	return func(yield func(*SourceFile, error) bool) {
		in := &lines{in: bufio.NewReaderSize(r, 1<<16), longest: longest}
		for {
			line, err := in.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading line %d: %w", in.number, err))
				return
			}
			if f, err := parseLine(line, in); (f != nil || err != nil) && !yield(f, err) {
				return
			}
		}
	}
}

// parseLine is nil for a blank line.
func parseLine(line []byte, in *lines) (*SourceFile, error) {
	bad := func(f *SourceFile, problem string) (*SourceFile, error) {
		return nil, &BadFile{Line: in.number, Repository: f.Repository, Path: f.Path, Problems: []string{problem}}
	}
	f := &SourceFile{Line: in.number}
	line = bytes.TrimSpace(line)
	switch {
	case in.long:
		return bad(f, fmt.Sprintf("longer than %d bytes", in.longest))
	case len(line) == 0:
		return nil, nil
	case !utf8.Valid(line):
		return bad(f, "no valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return bad(f, describe(err))
	}
	if rest := line[d.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return bad(f, fmt.Sprintf("more than one value: %.20q follows the first", rest))
	}
	return f, nil
}

// describe says what is wrong with the JSON in words of JSON instead of Go's.
func describe(err error) string {
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ):
		place := ""
		if typ.Field != "" {
			place = typ.Field + ": "
		}
		return fmt.Sprintf("%s%s is there, want %s", place, typ.Value, wanted(typ.Type.Kind()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "no complete JSON object"
	default:
		return strings.TrimPrefix(err.Error(), "json: ")
	}
}

// wanted is the JSON that is read into a kind of Go's values.
func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

// lines reads line by line; of a line that is too long it keeps nothing.
type lines struct {
	in      *bufio.Reader
	buf     []byte
	longest int
	number  int
	long    bool // the line was too long
}

func (l *lines) next() ([]byte, error) {
	l.number++
	l.buf, l.long = l.buf[:0], false
	for {
		part, err := l.in.ReadSlice('\n')
		if l.long = l.long || len(l.buf)+len(part) > l.longest; l.long {
			l.buf = l.buf[:0]
		} else {
			l.buf = append(l.buf, part...)
		}
		switch {
		case err == nil:
			return l.buf, nil
		case errors.Is(err, io.EOF) && (len(l.buf) > 0 || l.long):
			return l.buf, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// WriteNDJSON writes files as ReadNDJSON reads them. Bad files are not written but returned, any other
// error ends it.
func WriteNDJSON(w io.Writer, files iter.Seq2[*SourceFile, error]) (bad []*BadFile, err error) {
	out := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for f, err := range files {
		if b, ok := errors.AsType[*BadFile](err); ok {
			bad = append(bad, b)
			continue
		}
		if err == nil {
			err = enc.Encode(f)
		}
		if err != nil {
			return bad, fmt.Errorf("writing files: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return bad, fmt.Errorf("writing files: %w", err)
	}
	return bad, nil
}
