package ast

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func ExampleReadNDJSON() {
	in := strings.NewReader(`
{"repository": "r", "path": "a.go", "symbols": [{"kind": "function", "name": "F", "qualified": "a.F"}]}
{"repository": "r", "paht": "b.go"}
{"repository": "r", "path": "c.go"}
`)
	for file, err := range ReadNDJSON(in) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(file.Path, len(file.Symbols))
	}
	// Output:
	// a.go 1
	// line 3: file "r": unknown field "paht"
	// c.go 0
}

// yielded is everything that is read: paths of files, and errors.
func yielded(in io.Reader, longest int) (got []string) {
	for f, err := range (NDJSON{longest: longest}).Read(in) {
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, fmt.Sprintf("%d %s", f.Line, f.Path))
	}
	return got
}

// Each bad line is reported with its number and reason, and the others are read.
func TestBadLines(t *testing.T) {
	t.Parallel()
	long := `{"path": "` + strings.Repeat("x", 200) + `"}`
	in := strings.Join([]string{
		`{"path": "a"}`, `{"path": "b"`, `["c"]`, `{"path": "d"} {}`, `  `, `{"path": 5}`, "{\"path\": \"\xff\"}", long, "{\"path\": \"e\"}\r",
		`{"symbols": [{"embeddings": [{"vector": [1, "x"]}]}]}`, `{"symbols": [{"embeddings": [{"vector": 1}]}]}`,
		`{"symbols": [{"embeddings": [{"vector": [1e99]}]}]}`, `{"nothing": 1}`, `{"path": "f"}`,
	}, "\n")
	want := []string{
		"1 a",
		"line 2: no complete JSON object",
		"line 3: array is there, want an object",
		`line 4: file "d": more than one value: "{}" follows the first`,
		"line 6: path: number is there, want a string",
		"line 7: no valid UTF-8",
		"line 8: longer than 100 bytes",
		"9 e",
		`line 10: element 1 of a vector is "x": want a number that fits 32 bits`,
		"line 11: a vector is 1: want an array of numbers",
		"line 12: element 0 of a vector is 1e99: want a number that fits 32 bits",
		`line 13: unknown field "nothing"`,
		"14 f",
	}
	if diff := cmp.Diff(want, yielded(iotest.HalfReader(strings.NewReader(in)), 100)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A line may be exactly as long as the limit, ended or not, and longer than any buffer; what is too long is not
// kept in memory.
func TestLineLength(t *testing.T) {
	t.Parallel()
	line := func(n int) string { return `{"path": "` + strings.Repeat("x", n-12) + `"}` }
	in := line(200_000) + "\n" + line(200_001) + "\n" + line(100) + "\n" + strings.Repeat("y", 300_000)
	n := 0
	for f, err := range (NDJSON{longest: 200_001}).Read(strings.NewReader(in)) { // with the newline
		n++
		if long := n == 2 || n == 4; (err != nil) != long || long != (f == nil) {
			t.Errorf("line %d: %v", n, err)
		}
	}
	if n != 4 {
		t.Errorf("%d lines", n)
	}
}

// An error of the reader is the last thing that is yielded, after the lines before it.
func TestReaderFails(t *testing.T) {
	t.Parallel()
	in := io.MultiReader(strings.NewReader("{\"path\": \"a\"}\n{"), iotest.ErrReader(errors.New("the disk is gone")))
	want := []string{"1 a", "reading line 2: the disk is gone"}
	if diff := cmp.Diff(want, yielded(in, 100)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Reading ends when the consumer does.
func TestReadingStops(t *testing.T) {
	t.Parallel()
	n := 0
	for _, err := range ReadNDJSON(strings.NewReader("{}\n{}\n{}\n")) {
		if n++; n == 2 || err != nil {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d files", n)
	}
}

// What was written is read again, whatever the file.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOfN(anyFile(), 0, 4).Draw(t, "files")
		var out bytes.Buffer
		if bad, err := WriteNDJSON(&out, these(files...)); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != len(files) {
			t.Fatalf("%d lines for %d files", n, len(files))
		}
		i := 0
		for got, err := range ReadNDJSON(&out) {
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(files[i], got, cmpopts.IgnoreFields(SourceFile{}, "Line"), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			i++
		}
	})
}

// Bad files are left out and returned; any other error of the files or the writer ends the writing.
func TestWritingFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	source := func(errs ...error) func(func(*SourceFile, error) bool) {
		return func(yield func(*SourceFile, error) bool) {
			for _, err := range errs {
				if !yield(&SourceFile{Path: "a"}, err) {
					return
				}
			}
		}
	}
	var out bytes.Buffer
	bad, err := WriteNDJSON(&out, source(nil, &BadFile{Path: "b"}, nil, broken, nil))
	if !errors.Is(err, broken) || len(bad) != 1 {
		t.Errorf("got %v, %v", bad, err)
	}
	if _, err := WriteNDJSON(failingWriter{broken}, source(nil)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	odd := &SourceFile{Symbols: []Symbol{{Embeddings: []Embedding{{Vector: Vector{float32(math.NaN())}}}}}}
	if _, err := WriteNDJSON(&out, these(odd)); err == nil || !strings.Contains(err.Error(), "finite") {
		t.Errorf("got %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// No input makes reading panic or yield anything but a file or a bad line, and what is read is read again
// from its own NDJSON.
func FuzzReadNDJSON(f *testing.F) {
	f.Add([]byte(`{"repository":"r","path":"p","symbols":[{"kind":"k","embeddings":[{"model":"m","vector":[1,-2.5e-3,0]}]}]}` + "\n{}\n"))
	f.Add([]byte(`{"relations":[{"source":{},"type":"t","target":{"path":"x","ordinal":1}}]}`))
	f.Add([]byte("{\"path\":\"\\ud800\"}\nnull\n[]\n{\"vector\":[,]}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for file, err := range (NDJSON{longest: 1000}).Read(bytes.NewReader(in)) {
			var bad *BadFile
			if err != nil {
				if !errors.As(err, &bad) || bad.Line == 0 || len(bad.Problems) == 0 {
					t.Fatalf("an error that says nothing: %v", err)
				}
				continue
			}
			var out bytes.Buffer
			if _, err := WriteNDJSON(&out, these(file)); err != nil {
				t.Fatal(err)
			}
			for again, err := range ReadNDJSON(&out) {
				if diff := cmp.Diff(file, again, cmpopts.IgnoreFields(SourceFile{}, "Line"), cmpopts.EquateEmpty()); err != nil || diff != "" {
					t.Fatalf("%v\n%s", err, diff)
				}
			}
			if checked, bad := check(file, map[string]int{}); bad == nil {
				prepare(checked)
			}
		}
	})
}
