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
	b := append(AppendName([]byte("INSERT "+what+" "), name), '(')
	return string(append(appendNames(b, props), ") VALUES "...)), nil
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

// vertices is a statement that lists ids.
type vertices struct{ statement }

// edges is a statement that lists keys of edges.
type edges struct{ statement }

// DeleteVertex is a DELETE VERTEX: all tags of vertices, and their edges if it is said so. Ids that no vertex has do no
// harm.
type DeleteVertex struct{ vertices }

// NewDeleteVertex begins a statement. Without withEdges the edges stay and dangle.
func NewDeleteVertex(withEdges bool) *DeleteVertex {
	tail := ""
	if withEdges {
		tail = " WITH EDGE"
	}
	return &DeleteVertex{vertices{newStatement("DELETE VERTEX ", tail)}}
}

// Add adds a vertex. One that it refuses leaves the statement as it was.
func (s *vertices) Add(id ID) error {
	if err := id.check(); err != nil {
		return err
	}
	s.next()
	s.buf = id.append(s.buf)
	return nil
}

// FetchVertex is a FETCH PROP ON one tag of vertices. Its answer has a row for each vertex that has any tag: the id and
// the properties, which are EMPTY where the vertex does not have this one.
type FetchVertex struct{ vertices }

// NewFetchVertex begins a statement.
func NewFetchVertex(tag string, props []string) (*FetchVertex, error) {
	head, tail, err := fetch(tag, props, "id(vertex)")
	if err != nil {
		return nil, fmt.Errorf("fetching vertices: %w", err)
	}
	return &FetchVertex{vertices{newStatement(head, tail)}}, nil
}

// NewFetchTags begins a statement that asks for one property of several tags: its answer has the id, and the property of
// each tag, which is EMPTY where the vertex does not have the tag. Without tags it asks for the ids of vertices that have
// any.
func NewFetchTags(tags []string, prop string) (*FetchVertex, error) {
	head, tail := []byte("FETCH PROP ON "), []byte(" YIELD id(vertex)")
	for _, n := range append([]string{prop}, tags...) {
		if err := CheckName(n); err != nil {
			return nil, fmt.Errorf("fetching vertices: %w", err)
		}
	}
	for _, tag := range tags {
		tail = AppendName(append(AppendName(append(tail, ','), tag), '.'), prop)
	}
	if len(tags) == 0 {
		head = append(head, '*')
	}
	return &FetchVertex{vertices{newStatement(string(appendNames(head, tags))+" ", string(tail))}}, nil
}

// FetchEdge is a FETCH PROP ON one type of edges. Its answer has a row for each edge that is there: source, target, rank
// and the properties.
type FetchEdge struct{ edges }

// NewFetchEdge begins a statement.
func NewFetchEdge(edge string, props []string) (*FetchEdge, error) {
	head, tail, err := fetch(edge, props, "src(edge),dst(edge),rank(edge)")
	if err != nil {
		return nil, fmt.Errorf("fetching edges: %w", err)
	}
	return &FetchEdge{edges{newStatement(head, tail)}}, nil
}

func fetch(name string, props []string, keys string) (head, tail string, err error) {
	for _, n := range append([]string{name}, props...) {
		if err := CheckName(n); err != nil {
			return "", "", err
		}
	}
	b := append([]byte(" YIELD "), keys...)
	for _, p := range props {
		b = append(b, ',')
		b = append(AppendName(b, name), '.')
		b = AppendName(b, p)
	}
	return string(AppendName([]byte("FETCH PROP ON "), name)) + " ", string(b), nil
}

// DeleteTag is a DELETE TAG: one tag of vertices. Edges and other tags stay.
type DeleteTag struct{ vertices }

// NewDeleteTag begins a statement.
func NewDeleteTag(tag string) (*DeleteTag, error) {
	if err := CheckName(tag); err != nil {
		return nil, fmt.Errorf("deleting a tag: %w", err)
	}
	head := string(append(AppendName([]byte("DELETE TAG "), tag), " FROM "...))
	return &DeleteTag{vertices{newStatement(head, "")}}, nil
}

// DropEdges deletes all edges of one type that leave vertices, or that reach them. Ids that no vertex has do no harm.
type DropEdges struct{ vertices }

// NewDropEdges begins a statement. Reversely is for the edges that reach the vertices.
func NewDropEdges(edge string, reversely bool) (*DropEdges, error) {
	if err := CheckName(edge); err != nil {
		return nil, fmt.Errorf("deleting edges: %w", err)
	}
	quoted, way := string(AppendName(nil, edge)), ""
	if reversely {
		way = " REVERSELY"
	}
	return &DropEdges{vertices{newStatement("GO FROM ", " OVER "+quoted+way+
		" YIELD src(edge) AS s,dst(edge) AS d,rank(edge) AS r | DELETE EDGE "+quoted+" $-.s->$-.d@$-.r")}}, nil
}

// DeleteEdge is a DELETE EDGE of one type. Keys that no edge has do no harm.
type DeleteEdge struct{ edges }

// NewDeleteEdge begins a statement.
func NewDeleteEdge(edge string) (*DeleteEdge, error) {
	if err := CheckName(edge); err != nil {
		return nil, fmt.Errorf("deleting edges: %w", err)
	}
	return &DeleteEdge{edges{newStatement(string(AppendName([]byte("DELETE EDGE "), edge))+" ", "")}}, nil
}

// Add adds an edge. One that it refuses leaves the statement as it was.
func (s *edges) Add(src, dst ID, rank int64) error {
	if err := checkEnds(src, dst); err != nil {
		return err
	}
	s.next()
	s.appendKey(src, dst, rank)
	return nil
}
