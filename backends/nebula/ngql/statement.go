package ngql

import (
	"fmt"
	"strconv"
)

// statement is a head, items between commas, and a tail.
type statement struct {
	head, tail string
	buf        []byte
	items      int
}

func newStatement(head, tail string) statement {
	return statement{head: head, tail: tail, buf: []byte(head)}
}

// next begins an item.
func (s *statement) next() {
	if s.items > 0 {
		s.buf = append(s.buf, ',')
	}
	s.items++
}

// Items is how many rows or keys the statement has. A statement without any is none: do not send it.
func (s *statement) Items() int { return s.items }

// Size is how long the statement is, in bytes. graphd refuses more than MaxStatement; keep far below.
func (s *statement) Size() int { return len(s.buf) + len(s.tail) }

// Bytes is the statement. It shares memory with the next call of Add and Reset.
func (s *statement) Bytes() []byte {
	n := len(s.buf)
	s.buf = append(s.buf, s.tail...)
	all := s.buf
	s.buf = s.buf[:n]
	return all
}

// Reset takes all items out and keeps the memory.
func (s *statement) Reset() { s.buf, s.items = append(s.buf[:0], s.head...), 0 }

func (s *statement) appendKey(src, dst ID, rank int64) {
	s.buf = src.append(s.buf)
	s.buf = append(s.buf, '-', '>')
	s.buf = dst.append(s.buf)
	if rank != 0 {
		s.buf = append(s.buf, '@')
		s.buf = strconv.AppendInt(s.buf, rank, 10)
	}
}

func (s *statement) appendRow(values []Value) {
	s.buf = append(s.buf, ':', '(')
	for i, v := range values {
		if i > 0 {
			s.buf = append(s.buf, ',')
		}
		s.buf = v.append(s.buf)
	}
	s.buf = append(s.buf, ')')
}

// insertHead is the part of an INSERT before its rows.
func insertHead(what, name string, props []string) (string, error) {
	for _, n := range append([]string{name}, props...) {
		if err := CheckName(n); err != nil {
			return "", err
		}
	}
	b := AppendName([]byte("INSERT "+what+" "), name)
	return string(append(appendNames(b, props), " VALUES "...)), nil
}

// countError is the error of a row with another number of values than properties.
func countError(values, props int) error {
	return fmt.Errorf("a row has %d values for %d properties", values, props)
}

// InsertVertex is an INSERT VERTEX of one tag. A row replaces the tag's row of the vertex as a whole; of two rows of a
// vertex the last one stays.
type InsertVertex struct {
	statement
	props int
}

// NewInsertVertex begins a statement. props are the properties that rows give, in their order.
func NewInsertVertex(tag string, props []string) (*InsertVertex, error) {
	head, err := insertHead("VERTEX", tag, props)
	if err != nil {
		return nil, fmt.Errorf("inserting vertices: %w", err)
	}
	return &InsertVertex{newStatement(head, ""), len(props)}, nil
}

// Add adds a row. One that it refuses leaves the statement as it was.
func (s *InsertVertex) Add(id ID, values []Value) error {
	if len(values) != s.props {
		return countError(len(values), s.props)
	}
	if err := id.check(); err != nil {
		return err
	}
	s.next()
	s.buf = id.append(s.buf)
	s.appendRow(values)
	return nil
}

// InsertEdge is an INSERT EDGE of one type. A row replaces the edge of its source, target and rank.
type InsertEdge struct {
	statement
	props int
}

// NewInsertEdge begins a statement. props are the properties that rows give, in their order.
func NewInsertEdge(edge string, props []string) (*InsertEdge, error) {
	head, err := insertHead("EDGE", edge, props)
	if err != nil {
		return nil, fmt.Errorf("inserting edges: %w", err)
	}
	return &InsertEdge{newStatement(head, ""), len(props)}, nil
}

// Add adds a row. One that it refuses leaves the statement as it was.
func (s *InsertEdge) Add(src, dst ID, rank int64, values []Value) error {
	if len(values) != s.props {
		return countError(len(values), s.props)
	}
	if err := checkEnds(src, dst); err != nil {
		return err
	}
	s.next()
	s.appendKey(src, dst, rank)
	s.appendRow(values)
	return nil
}

func checkEnds(src, dst ID) error {
	if err := src.check(); err != nil {
		return err
	}
	return dst.check()
}

// DeleteVertex is a DELETE VERTEX: all tags of vertices, and their edges if it is said so. Ids that no vertex has do no
// harm.
type DeleteVertex struct{ statement }

// NewDeleteVertex begins a statement. Without withEdges the edges stay and dangle.
func NewDeleteVertex(withEdges bool) *DeleteVertex {
	tail := ""
	if withEdges {
		tail = " WITH EDGE"
	}
	return &DeleteVertex{newStatement("DELETE VERTEX ", tail)}
}

// Add adds a vertex. One that it refuses leaves the statement as it was.
func (s *DeleteVertex) Add(id ID) error {
	if err := id.check(); err != nil {
		return err
	}
	s.next()
	s.buf = id.append(s.buf)
	return nil
}

// DeleteTag is a DELETE TAG: one tag of vertices. Edges and other tags stay.
type DeleteTag struct{ DeleteVertex }

// NewDeleteTag begins a statement.
func NewDeleteTag(tag string) (*DeleteTag, error) {
	if err := CheckName(tag); err != nil {
		return nil, fmt.Errorf("deleting a tag: %w", err)
	}
	head := string(append(AppendName([]byte("DELETE TAG "), tag), " FROM "...))
	return &DeleteTag{DeleteVertex{newStatement(head, "")}}, nil
}

// DeleteEdge is a DELETE EDGE of one type. Keys that no edge has do no harm.
type DeleteEdge struct{ statement }

// NewDeleteEdge begins a statement.
func NewDeleteEdge(edge string) (*DeleteEdge, error) {
	if err := CheckName(edge); err != nil {
		return nil, fmt.Errorf("deleting edges: %w", err)
	}
	return &DeleteEdge{newStatement(string(AppendName([]byte("DELETE EDGE "), edge))+" ", "")}, nil
}

// Add adds an edge. One that it refuses leaves the statement as it was.
func (s *DeleteEdge) Add(src, dst ID, rank int64) error {
	if err := checkEnds(src, dst); err != nil {
		return err
	}
	s.next()
	s.appendKey(src, dst, rank)
	return nil
}
