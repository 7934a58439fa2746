package ast

import (
	"fmt"
	"strings"
)

// SourceFile is a source file with everything that is to be stored about it. Repository and Path identify
// it; see the package documentation for the rest.
type SourceFile struct {
	Repository string     `json:"repository"`
	Path       string     `json:"path"`
	Language   string     `json:"language,omitempty"`
	Bytes      int64      `json:"bytes,omitempty"`
	Lines      int        `json:"lines,omitempty"`
	Content    *string    `json:"content,omitempty"` // the text; nil: not to be stored
	Symbols    []Symbol   `json:"symbols,omitempty"`
	Relations  []Relation `json:"relations,omitempty"`

	Input string `json:"-"` // where the file is from, for reports; empty: not known
	Line  int    `json:"-"` // where it stands there; 0: not known

	Text []byte `json:"-"` // the line as it was, for BadFile.Text; nil: not kept
}

// Symbol is something that a file declares. Kind, Qualified and Ordinal identify it within the file.
type Symbol struct {
	Kind       string      `json:"kind"`                 // function, method, type, field, const, var, package or any lower case word
	Name       string      `json:"name"`                 // as in the source
	Qualified  string      `json:"qualified"`            // with what contains it, such as fmt.Stringer.String
	Ordinal    int         `json:"ordinal,omitempty"`    // 0 for the first of its kind and qualified name in the file
	Signature  string      `json:"signature,omitempty"`  // how it is declared
	Doc        string      `json:"doc,omitempty"`        // its documentation
	LineStart  int         `json:"line_start,omitempty"` // from 1; 0: not known
	LineEnd    int         `json:"line_end,omitempty"`   // the last line that belongs to it
	Embeddings []Embedding `json:"embeddings,omitempty"`
}

// Ref is the reference that identifies the symbol within its file.
func (s *Symbol) Ref() Ref { return Ref{Kind: s.Kind, Qualified: s.Qualified, Ordinal: s.Ordinal} }

// Embedding is a symbol's vector in one model. All vectors of a model have the same number of dimensions.
type Embedding struct {
	Model  string `json:"model"`
	Vector Vector `json:"vector"`
}

// Relation is a directed edge, identified by all its fields.
type Relation struct {
	Source Ref    `json:"source,omitzero"` // in this file
	Type   string `json:"type"`            // contains, calls, references, imports, embeds or any lower case word
	Target Ref    `json:"target,omitzero"`
}

// Ref names a symbol, or without Kind and Qualified a file. Without Path it is in the file that states it,
// without Repository in the same repository.
type Ref struct {
	Repository string `json:"repository,omitempty"`
	Path       string `json:"path,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Qualified  string `json:"qualified,omitempty"`
	Ordinal    int    `json:"ordinal,omitempty"`
}

func (r Ref) local() bool  { return r.Path == "" && r.Repository == "" }
func (r Ref) isFile() bool { return r.Kind == "" && r.Qualified == "" && r.Ordinal == 0 }

// String is the reference for people: "function fmt.Println in fmt/print.go".
func (r Ref) String() string {
	var parts []string
	if r.isFile() {
		parts = append(parts, "the file")
	} else {
		parts = append(parts, r.Kind, r.Qualified)
	}
	if r.Ordinal != 0 {
		parts = append(parts, fmt.Sprintf("#%d", r.Ordinal))
	}
	if !r.local() {
		parts = append(parts, "in", strings.TrimSpace(r.Repository+" "+r.Path))
	}
	return strings.Join(parts, " ")
}

// BadFile says why a file was not loaded: every problem that was found in it. A source of files yields it
// as an error for a file that it cannot give; the load then goes on with the next one.
type BadFile struct { //nolint:errname // it is a result as often as an error
	Input      string // where the file is from; empty: not known
	Line       int    // where it stands there; 0: not known
	Repository string
	Path       string
	Problems   []string
	Text       []byte // the line as it was, without its end; nil if it was not kept: see NDJSON.Keep
}

// Error is one line with all problems.
func (b *BadFile) Error() string {
	var where []string
	if b.Input != "" {
		where = append(where, b.Input)
	}
	if b.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", b.Line))
	}
	if name := strings.TrimSpace(b.Repository + " " + b.Path); name != "" {
		where = append(where, fmt.Sprintf("file %q", name))
	}
	return strings.Join(append(where, strings.Join(b.Problems, "; ")), ": ")
}
