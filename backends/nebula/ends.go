package nebula

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// knownMost is how many ends a search remembers, and once more as many: some 12 MB.
const knownMost = 1 << 18

var _ backends.Dangler = (*backend)(nil)

// Ends is for edges. An end is there if a vertex of its id has a tag of one of the targets, whoever wrote it; if none of
// the targets is a tag, any tag will do. What an edge ends at follows from its key alone, so that only the vertices are
// read.
func (b *backend) Ends(t backends.Target, targets []backends.Target) (backends.Ends, error) {
	m, err := b.model(t)
	if err != nil || !m.key.edge {
		return nil, err
	}
	e := &ends{b: b, m: m, t: t, batch: lookupMax, known: known{most: knownMost}}
	for _, other := range targets {
		v, err := b.model(other)
		if err != nil {
			return nil, err
		}
		if !v.key.edge {
			e.vertices, e.tags = append(e.vertices, v), append(e.tags, v.types...)
		}
	}
	return e, nil
}

// ends is a search for edges that dangle.
type ends struct {
	b        *backend
	m        *model // of the edges
	t        backends.Target
	vertices []*model
	tags     []string
	batch    int // ids of one statement
	known    known
}

// Missing asks for the ends that are not known to be there, each once.
func (e *ends) Missing(ctx context.Context, keys []string) ([]backends.Dangling, error) {
	type edge struct {
		key string
		place
	}
	edges := make([]edge, 0, len(keys))
	missing := map[ngql.ID]bool{} // false: it is known to be there
	var ask []ngql.ID
	for _, key := range keys {
		p, err := e.m.place(key)
		if err != nil {
			continue // no edge has this key
		}
		edges = append(edges, edge{key, p})
		for _, id := range []ngql.ID{p.src, p.dst} {
			if _, seen := missing[id]; seen {
				continue
			}
			if missing[id] = !e.known.has(id); missing[id] {
				ask = append(ask, id)
			}
		}
	}
	if err := e.look(ctx, ask, missing); err != nil {
		return nil, e.b.classifyFor("fetch the ends", e.t, err)
	}
	var found []backends.Dangling
	for _, one := range edges {
		if missing[one.src] || missing[one.dst] {
			found = append(found, e.dangling(one.key, one.place, missing))
		}
	}
	return found, nil
}

// look asks which vertices are there, and notes that those are not missing.
func (e *ends) look(ctx context.Context, ids []ngql.ID, missing map[ngql.ID]bool) error {
	s, err := ngql.NewFetchTags(e.tags, keyProp)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := s.Add(id); err != nil {
			return err
		}
		if i+1 < len(ids) && s.Items() < e.batch && s.Size() < mostBytes {
			continue
		}
		data, err := e.b.pool.read(ctx, inSpace, string(s.Bytes()))
		if err != nil {
			return err
		}
		for _, row := range values(data, 1+len(e.tags)) {
			if there := idOf(row[0]); len(e.tags) == 0 || slices.ContainsFunc(row[1:], given) {
				missing[there] = false
				e.known.add(there)
			}
		}
		s.Reset()
	}
	return nil
}

// given is whether a vertex has the tag whose property is asked for: it is EMPTY if it has not, and may be NULL if it
// has.
func given(v *nebula.Value) bool { return v != nil && v.CountSetFieldsValue() > 0 }

// dangling is an edge with the ends of it that are missing.
func (e *ends) dangling(key string, p place, missing map[ngql.ID]bool) backends.Dangling {
	d := backends.Dangling{Key: key}
	parts, err := e.m.key.split(key)
	for _, end := range []struct {
		name    string
		id      ngql.ID
		columns []int
	}{{"source", p.src, e.m.key.src}, {"target", p.dst, e.m.key.dst}} {
		if !missing[end.id] {
			continue
		}
		found := backends.End{Name: end.name, ID: end.id.String()}
		for _, v := range e.vertices {
			for typ := range v.types {
				ref := backends.Reference{Kind: v.kind, Target: v.target}
				if err == nil {
					ref.Key = v.vertexKey(typ, parts, end.columns)
				}
				found.Records = append(found.Records, ref)
			}
		}
		d.Ends = append(d.Ends, found)
	}
	return d
}

// vertexKey is the key of the record that would be the vertex, of one of the model's tags, at which an edge ends whose
// key has the vertex's id in some columns. Empty: that does not follow from the edge's key.
func (m *model) vertexKey(typ int, parts []gjson.Result, columns []int) string {
	key := join(parts, columns)
	if m.key.columns > 1 {
		if len(columns) != len(m.key.src) {
			return ""
		}
		raw := make([]string, m.key.columns)
		for i, at := range m.key.src {
			raw[at] = parts[columns[i]].Raw
		}
		if m.key.typ >= 0 {
			raw[m.key.typ] = quoted(m.types[typ])
		}
		key = "[" + strings.Join(raw, ", ") + "]"
	}
	if _, err := m.place(key); err != nil {
		return ""
	}
	return key
}

// quoted is a text as PostgreSQL writes it in JSON.
func quoted(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // texts cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// known remembers ids that are there, in bounded memory: those of late, by their hashes.
type known struct {
	most       int // of each of the two
	young, old map[[16]byte]struct{}
}

// add remembers an id. When there are too many, those are forgotten that were not asked for in a while.
func (k *known) add(id ngql.ID) {
	if k.young == nil || len(k.young) >= k.most {
		k.young, k.old = map[[16]byte]struct{}{}, k.young
	}
	k.young[hashOf(id)] = struct{}{}
}

// has says whether an id is remembered. It may be forgotten, and then it is not.
func (k *known) has(id ngql.ID) bool {
	h := hashOf(id)
	if _, ok := k.young[h]; ok {
		return true
	}
	if _, ok := k.old[h]; ok {
		k.add(id)
		return true
	}
	return false
}

// hashOf tells ids apart. Those of one space are all texts or all numbers.
func hashOf(id ngql.ID) [16]byte {
	sum := sha256.Sum256([]byte(id.String()))
	return [16]byte(sum[:16])
}
