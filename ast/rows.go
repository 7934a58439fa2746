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
	data []byte
	n    int64
}

// prepare makes the rows of a file that check has found good.
func prepare(f *SourceFile) *prepared {
	p := &prepared{id: FileID(f.Repository, f.Path)}
	ids := make(map[Ref]uuid.UUID, len(f.Symbols)+1)
	ids[Ref{}] = p.id
	for i := range f.Symbols {
		s := &f.Symbols[i]
		id := SymbolID(p.id, s.Kind, s.Qualified, s.Ordinal)
		ids[s.Ref()] = id
		p.symbols.symbol(id, p.id, s)
		for _, e := range s.Embeddings {
			p.embeddings.embedding(id, e)
		}
	}
	end := func(r Ref) uuid.UUID {
		if id, ok := ids[r]; ok {
			return id
		}
		return r.id(f, p.id)
	}
	for _, r := range f.Relations {
		p.relations.relation(end(r.Source), r.Type, end(r.Target))
	}
	p.digest = p.sum(f)
	p.file = &SourceFile{
		Repository: f.Repository, Path: f.Path, Language: f.Language, Bytes: f.Bytes, Lines: f.Lines,
		Content: f.Content, Line: f.Line,
	}
	return p
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
	r.n++
}

func (r *rows) relation(source uuid.UUID, typ string, target uuid.UUID) {
	r.fields(3)
	r.uuid(source)
	r.text(typ)
	r.uuid(target)
	r.n++
}

func (r *rows) embedding(symbol uuid.UUID, e Embedding) {
	r.fields(4)
	r.uuid(symbol)
	r.text(e.Model)
	r.int(len(e.Vector))
	r.vector(e.Vector)
	r.n++
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
