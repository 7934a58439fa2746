package ast

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
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

// SchemaVersion is the version of the lines that WriteNDJSON writes and ReadNDJSON takes. A line without a version
// has this one.
const SchemaVersion = 1

// Schema is the JSON Schema of a line.
//
//go:embed schema.json
var Schema []byte

// line is a file as a line has it.
type line struct {
	Version int `json:"version,omitempty"`
	*SourceFile
}

// ReadNDJSON is NDJSON{}.Read(r).
func ReadNDJSON(r io.Reader) iter.Seq2[*SourceFile, error] { return NDJSON{}.Read(r) }

// NDJSON reads files, one a line: see the package documentation. The zero value is good.
type NDJSON struct {
	Name string // of the input, for reports
	Keep bool   // each line's text, for BadFile.Text; it takes as much memory again

	longest int // 0: MaxLine
}

// Read yields the files of r. A line that is no file is yielded as a *BadFile error with its number, and reading
// goes on; blank lines are skipped. Any other error is one of r and the last. The sequence can be consumed once.
func (n NDJSON) Read(r io.Reader) iter.Seq2[*SourceFile, error] {
	return func(yield func(*SourceFile, error) bool) {
		in := &lines{NDJSON: n, in: bufio.NewReaderSize(r, 1<<16)}
		in.longest = cmp.Or(n.longest, MaxLine)
		for {
			line, err := in.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading %s: %w", in.place(), err))
				return
			}
			if f, err := parseLine(line, in); (f != nil || err != nil) && !yield(f, err) {
				return
			}
		}
	}
}

// parseLine is nil for a blank line.
func parseLine(text []byte, in *lines) (*SourceFile, error) {
	f := &SourceFile{Input: in.Name, Line: in.number}
	text = bytes.TrimRight(text, "\r\n")
	if in.Keep {
		f.Text = bytes.Clone(text)
	}
	bad := func(problem string) (*SourceFile, error) {
		return nil, &BadFile{Input: f.Input, Line: f.Line, Repository: f.Repository, Path: f.Path, Problems: []string{problem}, Text: f.Text}
	}
	text = bytes.TrimSpace(text)
	switch {
	case in.long:
		return bad(fmt.Sprintf("longer than %d bytes", in.longest))
	case len(text) == 0:
		return nil, nil
	case !utf8.Valid(text):
		return bad("no valid UTF-8")
	}
	if problem := decode(text, f); problem != "" {
		return bad(problem)
	}
	return f, nil
}

// decode reads a line, and says what is wrong with it. A line of another version is of another form: that is told
// instead of the first difference.
func decode(text []byte, f *SourceFile) (problem string) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	l := line{SourceFile: f}
	err := d.Decode(&l)
	version := l.Version
	if err != nil {
		var other struct{ Version int }
		if json.Unmarshal(text, &other) == nil {
			version = other.Version
		}
	}
	rest := bytes.TrimSpace(text[min(d.InputOffset(), int64(len(text))):])
	switch {
	case version != 0 && version != SchemaVersion:
		return fmt.Sprintf("version: %d: want %d", version, SchemaVersion)
	case err != nil:
		return describe(err)
	case len(rest) > 0:
		return fmt.Sprintf("more than one value: %.20q follows the first", rest)
	}
	return ""
}

// describe says what is wrong with the JSON in words of JSON instead of Go's.
func describe(err error) string {
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ):
		place := ""
		if typ.Field != "" {
			place = strings.TrimPrefix(typ.Field, "SourceFile.") + ": "
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
	NDJSON
	in     *bufio.Reader
	buf    []byte
	number int
	long   bool // the line was too long
}

// place is where the line stands.
func (l *lines) place() string {
	if l.Name == "" {
		return fmt.Sprintf("line %d", l.number)
	}
	return fmt.Sprintf("%s, line %d", l.Name, l.number)
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
			err = enc.Encode(line{Version: SchemaVersion, SourceFile: f})
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
