package nebula

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/content"
)

// countAim is how many rows of the index one statement of Count is about.
const countAim = 100_000

// Count counts through the index that Scan reads, range after range, in the server: a row of each range comes back. The
// server's own statistics are of the last job that made them, and need the right to run one.
func (b *backend) Count(ctx context.Context, t backends.Target) (int64, error) {
	m, err := b.model(t)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for typ := range m.types {
		s := scan{b: b, m: m, typ: typ, t: t, width: firstWidth}
		n, err := s.count(ctx)
		if err != nil {
			return 0, b.classifyFor("count", t, err)
		}
		total += n
	}
	return total, nil
}

// count counts the rows of one type.
func (s *scan) count(ctx context.Context) (int64, error) {
	total := int64(0)
	for from := int64(0); from >= 0; {
		last := from + min(s.width-1, math.MaxInt64-from)
		data, err := s.b.pool.read(ctx, inSpace, s.counting(from, last))
		if err != nil {
			return 0, err
		}
		n := int64(0)
		for _, row := range values(data, 1) {
			n += integer(row[0])
		}
		total += n
		from = last + 1 // below zero after the last one
		s.width = wider(s.width, int(n), countAim)
	}
	return total, nil
}

// counting counts the rows of a range.
func (s *scan) counting(from, last int64) string {
	t := name(s.m.types[s.typ])
	slot := t + "." + name(slotProp)
	return fmt.Sprintf("LOOKUP ON %s WHERE %s >= %d AND %s <= %d YIELD %s AS s | YIELD count($-.s) AS n", t, slot, from, slot, last, slot)
}

// compareMost is how many rows are fetched at once.
const compareMost = 200

// Compare fetches rows with all their properties, by id.
func (b *backend) Compare(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for part := range content.Chunks(records, compareMost) {
		wanted, byType := make(map[string]backends.Record, len(part)), make([][]place, len(m.types))
		for _, r := range part {
			if p, err := m.place(r.Key); err == nil { // others cannot be there
				wanted[r.Key], byType[p.typ] = r, append(byType[p.typ], p)
			}
		}
		for typ, places := range byType {
			differ, err := b.compare(ctx, m, typ, places, wanted)
			if err != nil {
				return nil, b.classifyFor("compare", t, err)
			}
			found = append(found, differ...)
		}
	}
	return found, nil
}

// compare fetches the rows of one type.
func (b *backend) compare(ctx context.Context, m *model, typ int, places []place, wanted map[string]backends.Record) ([]backends.Mismatch, error) {
	if len(places) == 0 {
		return nil, nil
	}
	names := slices.Clone(entryProps)
	for _, p := range m.props {
		names = append(names, p.name)
	}
	stmt, err := m.fetchProps(m.types[typ], names, places)
	if err != nil {
		return nil, err
	}
	data, err := b.pool.read(ctx, inSpace, string(stmt))
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for _, row := range data.GetRows() {
		e, ours := m.entry(typ, row.Values)
		if !ours {
			continue
		}
		if columns := m.differing(wanted[e.Key], row.Values[len(row.Values)-len(m.props):]); len(columns) > 0 {
			found = append(found, backends.Mismatch{Key: e.Key, Columns: columns})
		}
	}
	return found, nil
}

// differing names the columns whose properties are others than the record's. Of a record that cannot be stored all are.
func (m *model) differing(r backends.Record, have []*nebula.Value) []string {
	want, err := m.row(r, nil)
	var columns []string
	for i, p := range m.props {
		if err != nil || !p.same(want[len(own)+i].Any(), have[i]) {
			columns = append(columns, p.name)
		}
	}
	slices.Sort(columns)
	return columns
}

// same compares a value as it was sent with a property as it is stored: a FLOAT within its 32 bits, a FIXED_STRING
// without the zeros that fill it up, a GEOGRAPHY by its numbers.
func (p property) same(want any, have *nebula.Value) bool {
	switch w := want.(type) {
	case bool:
		return have.BVal != nil && *have.BVal == w
	case int64:
		return have.IVal != nil && *have.IVal == w
	case float64:
		return have.FVal != nil && sameFloat(w, *have.FVal, p.typ == "FLOAT")
	case time.Duration:
		h := have.TVal
		return h != nil && w == time.Duration(h.Hour)*time.Hour+time.Duration(h.Minute)*time.Minute+
			time.Duration(h.Sec)*time.Second+time.Duration(h.Microsec)*time.Microsecond
	case time.Time:
		return sameTime(w, have)
	case string:
		if p.typ == "GEOGRAPHY" {
			return have.GgVal != nil && slices.Equal(numbersOf(w), coordinates(have.GgVal))
		}
		text := string(have.SVal)
		if strings.HasPrefix(p.typ, "FIXED_STRING") {
			text = strings.TrimRight(text, "\x00")
		}
		return have.SVal != nil && text == w
	default:
		return have.NVal != nil && *have.NVal == nebula.NullType___NULL__
	}
}

func sameFloat(want, have float64, single bool) bool {
	if single {
		want, have = float64(float32(want)), float64(float32(have))
	}
	return want == have || math.IsNaN(want) && math.IsNaN(have)
}

func sameTime(want time.Time, have *nebula.Value) bool {
	var at time.Time
	switch {
	case have.DVal != nil:
		d := have.DVal
		at = time.Date(int(d.Year), time.Month(d.Month), int(d.Day), 0, 0, 0, 0, time.UTC)
	case have.DtVal != nil:
		d := have.DtVal
		at = time.Date(int(d.Year), time.Month(d.Month), int(d.Day), int(d.Hour), int(d.Minute), int(d.Sec), int(d.Microsec)*1000, time.UTC)
	default:
		return false
	}
	return at.Equal(want)
}

var wktNumber = regexp.MustCompile(`[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?`)

// numbersOf are the coordinates in well-known text.
func numbersOf(wkt string) []float64 {
	var all []float64
	for _, text := range wktNumber.FindAllString(wkt, -1) {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			all = append(all, f)
		}
	}
	return all
}

// coordinates are those of a geography, in order.
func coordinates(g *nebula.Geography) []float64 {
	var all []float64
	add := func(list []*nebula.Coordinate) {
		for _, c := range list {
			all = append(all, c.GetX(), c.GetY())
		}
	}
	switch {
	case g.PtVal != nil:
		add([]*nebula.Coordinate{g.PtVal.GetCoord()})
	case g.LsVal != nil:
		add(g.LsVal.GetCoordList())
	case g.PgVal != nil:
		for _, ring := range g.PgVal.GetCoordListList() {
			add(ring)
		}
	}
	return all
}

// fetchProps asks for properties of the rows at places.
func (m *model) fetchProps(typ string, props []string, places []place) ([]byte, error) {
	if m.key.edge {
		s, err := ngql.NewFetchEdge(typ, props)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			if err := s.Add(p.src, p.dst, p.rank); err != nil {
				return nil, err
			}
		}
		return s.Bytes(), nil
	}
	s, err := ngql.NewFetchVertex(typ, props)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		if err := s.Add(p.src); err != nil {
			return nil, err
		}
	}
	return s.Bytes(), nil
}
