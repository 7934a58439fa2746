package ast

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/google/uuid"
)

// prepared is a good file, ready to be written: rows in PostgreSQL's binary COPY format, because coding
// hundreds of numbers for each symbol by way of interfaces would cost more than all the rest.
type prepared struct {
	file       *SourceFile // without symbols and relations
	id         uuid.UUID
	digest     [sha256.Size]byte
	symbols    rows
	relations  rows
	embeddings rows
}

// rows are encoded rows of one table.
type rows struct {
	data    []byte
	digest  Digest
	scratch []byte
}

// count is the number of its rows.
func (p *prepared) count() int64 {
	return p.symbols.digest.Rows + p.relations.digest.Rows + p.embeddings.digest.Rows
}

// size is what it takes in memory, about.
func (p *prepared) size() int {
	n := len(p.symbols.data) + len(p.relations.data) + len(p.embeddings.data) + len(p.file.Text)
	if p.file.Content != nil {
		n += len(*p.file.Content)
	}
	return n
}

// prepare makes the rows of a file that has been found good.
func prepare(c *checker) *prepared {
	f, p := c.file, &prepared{id: c.id}
	p.grow(f)
	for i := range f.Symbols {
		s := &f.Symbols[i]
		id := c.ids[s.Ref()]
		p.symbols.symbol(id, p.id, s)
		for _, e := range s.Embeddings {
			p.embeddings.embedding(id, e)
		}
	}
	for _, e := range c.edges {
		p.relations.relation(e)
	}
	p.digest = p.sum(f)
	p.file = &SourceFile{
		Repository: f.Repository, Path: f.Path, Language: f.Language, Bytes: f.Bytes, Lines: f.Lines,
		Content: f.Content, Input: f.Input, Line: f.Line, Text: f.Text,
	}
	p.symbols.scratch, p.relations.scratch, p.embeddings.scratch = nil, nil, nil
	return p
}

// grow makes room for the rows: growing step by step would copy them several times.
func (p *prepared) grow(f *SourceFile) {
	symbols, embeddings, relations := 0, 0, 0
	for i := range f.Symbols {
		s := &f.Symbols[i]
		symbols += 100 + len(s.Kind) + len(s.Name) + len(s.Qualified) + len(s.Signature) + len(s.Doc)
		for _, e := range s.Embeddings {
			embeddings += 60 + len(e.Model) + 8*len(e.Vector)
		}
	}
	for i := range f.Relations {
		relations += 46 + len(f.Relations[i].Type)
	}
	p.symbols.data = make([]byte, 0, symbols)
	p.embeddings.data = make([]byte, 0, embeddings)
	p.relations.data = make([]byte, 0, relations)
}

// sum is the digest of all that is stored about the file. Its first byte is the version of the form.
func (p *prepared) sum(f *SourceFile) [sha256.Size]byte {
	var head rows
	head.fields(7)
	head.int(1)
	head.text(f.Repository)
	head.text(f.Path)
	head.text(f.Language)
	head.data = binary.BigEndian.AppendUint64(head.data, uint64(f.Bytes)) //nolint:gosec // only its bits matter
	head.int(f.Lines)
	if f.Content != nil {
		head.text(*f.Content)
	}
	h := sha256.New()
	for _, part := range [][]byte{head.data, p.symbols.data, p.relations.data, p.embeddings.data} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// The columns, in the order in which the methods below write them.
const (
	symbolColumns    = "id, file_id, kind, name, qualified, ordinal, signature, doc, line_start, line_end"
	relationColumns  = "source, type, target"
	embeddingColumns = "symbol_id, model, dimensions, vector"
)

func (r *rows) symbol(id, file uuid.UUID, s *Symbol) {
	start := len(r.data)
	r.fields(10)
	r.uuid(id)
	r.uuid(file)
	r.text(s.Kind)
	r.text(s.Name)
	r.text(s.Qualified)
	r.int(s.Ordinal)
	r.text(s.Signature)
	r.text(s.Doc)
	r.int(s.LineStart)
	r.int(s.LineEnd)
	r.note(r.data[start:], symbolTypes)
}

func (r *rows) relation(e edge) {
	start := len(r.data)
	r.fields(3)
	r.uuid(e.source)
	r.text(e.typ)
	r.uuid(e.target)
	r.note(r.data[start:], relationTypes)
}

func (r *rows) embedding(symbol uuid.UUID, e Embedding) {
	start := len(r.data)
	r.fields(4)
	r.uuid(symbol)
	r.text(e.Model)
	r.int(len(e.Vector))
	r.vector(e.Vector)
	r.note(r.data[start:], embeddingTypes)
}

func (r *rows) fields(n uint16)  { r.data = binary.BigEndian.AppendUint16(r.data, n) }
func (r *rows) length(n int)     { r.data = binary.BigEndian.AppendUint32(r.data, uint32(n)) } //nolint:gosec // checked: see maxText
func (r *rows) uuid(u uuid.UUID) { r.length(len(u)); r.data = append(r.data, u[:]...) }
func (r *rows) text(s string)    { r.length(len(s)); r.data = append(r.data, s...) }
func (r *rows) int(n int)        { r.length(4); r.length(n) }

const float4 = 700 // the oid of real

// vector writes a one-dimensional real[]: dimensions, a flag for NULLs, the oid of the elements, the length
// and the lower bound, then each element with its own length.
func (r *rows) vector(v Vector) {
	r.length(20 + 8*len(v))
	for _, n := range []int{1, 0, float4, len(v), 1} {
		r.length(n)
	}
	for _, f := range v {
		r.data = binary.BigEndian.AppendUint64(r.data, 4<<32|uint64(math.Float32bits(f)))
	}
}

// The head and the end of a binary COPY.
var (
	copyHead = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyEnd  = []byte{0xff, 0xff}
)
