package exec

import (
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func (p *planner) deleteVertex(s *ngql.DeleteVertex) (*plan, error) {
	ids, err := p.ids(s.Vids, p.deleteID)
	if err != nil {
		return nil, err
	}
	return &plan{run: func(r *runner, in *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var edges, tags []graph.Write
		for _, id := range value.Distinct(ids(r, in)) {
			if err := fits(space, id); err != nil {
				return nil, err
			}
			if s.WithEdge {
				edges = append(edges, edgesOf(space, id)...)
			}
			for _, sc := range space.Schemas(false) {
				tags = append(tags, graph.Write{Part: space.Part(id), Do: space.DropTag(id, sc)})
			}
		}
		if err := space.Apply(edges); err != nil {
			return nil, err
		}
		return nil, space.Apply(tags)
	}}, nil
}

// edgesOf are the writes that remove all edges of a vertex, at both ends.
func edgesOf(space *graph.Space, id any) []graph.Write {
	var writes []graph.Write
	for _, sc := range space.Schemas(true) {
		for _, reversed := range []bool{false, true} {
			for _, e := range space.Edges(id, []*graph.Schema{sc}, reversed) {
				f := e.Forward()
				writes = append(writes, dropEdge(space, edgeID{f.Src, f.Dst, f.Rank}, sc)...)
			}
		}
	}
	return writes
}

func dropEdge(space *graph.Space, k edgeID, sc *graph.Schema) []graph.Write {
	return []graph.Write{
		{Part: space.Part(k.src), Do: space.DropOut(k.src, k.dst, k.rank, sc)},
		{Part: space.Part(k.dst), Do: space.DropIn(k.src, k.dst, k.rank, sc)},
	}
}

func (p *planner) deleteTag(s *ngql.DeleteTag) (*plan, error) {
	ids, err := p.ids(s.Vids, p.deleteID)
	if err != nil {
		return nil, err
	}
	var tags []*graph.Schema
	for _, n := range s.Tags {
		sc, err := p.schema(false, n)
		if err != nil {
			return nil, err
		}
		tags = append(tags, sc)
	}
	if s.Tags == nil {
		tags = p.space.Schemas(false)
	}
	return &plan{run: func(r *runner, in *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var writes []graph.Write
		for _, id := range ids(r, in) {
			for _, sc := range tags {
				writes = append(writes, graph.Write{Part: space.Part(id), Refused: fits(space, id), Do: space.DropTag(id, sc)})
			}
		}
		return nil, space.Apply(writes)
	}}, nil
}

func (p *planner) deleteEdge(s *ngql.DeleteEdge) (*plan, error) {
	sc, err := p.schema(true, s.Edge)
	if err != nil {
		return nil, err
	}
	ids, err := p.edgeIDs(s.Keys, s.Ref)
	if err != nil {
		return nil, err
	}
	return &plan{run: func(r *runner, in *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		keys, err := ids(r, in)
		if err != nil {
			return nil, err
		}
		var writes []graph.Write
		for _, k := range keys {
			if err := fits(space, k.src, k.dst); err != nil {
				return nil, err
			}
			writes = append(writes, dropEdge(space, k, sc)...)
		}
		return nil, space.Apply(writes)
	}}, nil
}
