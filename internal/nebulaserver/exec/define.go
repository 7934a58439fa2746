package exec

import (
	"strconv"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
)

// once makes a plan of what only has to be done.
func once(do func(r *runner) error) *plan {
	return &plan{run: func(r *runner, _ *Table) (*Table, error) { return nil, do(r) }}
}

// define plans what makes and shows schemas, and what governs the server.
func (p *planner) define(s ngql.Stmt) (*plan, error) {
	switch s := s.(type) {
	case *ngql.CreateSpace:
		return p.createSpace(s)
	case *ngql.CreateSchema:
		return p.createSchema(s)
	case *ngql.AlterSchema:
		return p.alterSchema(s)
	case *ngql.CreateIndex:
		return once(func(r *runner) error { return createIndex(r, s) }), nil
	case *ngql.Drop:
		return once(func(r *runner) error { return drop(r, s) }), nil
	case *ngql.Rebuild:
		return rebuild(s), nil
	case *ngql.SubmitJob:
		return submit(s), nil
	case *ngql.User:
		return once(func(r *runner) error { return r.c.Admin.Account(r.c.User, s) }), nil
	case *ngql.Role:
		return once(func(r *runner) error { return r.c.Admin.Grant(s) }), nil
	case *ngql.KillSession:
		return p.kill(s)
	case *ngql.Describe:
		return describe(s), nil
	case *ngql.ShowCreate:
		return showCreate(s), nil
	case *ngql.Show:
		return show(s), nil
	}
	return nil, graph.Failed("not interpreted by this server: %T", s)
}

func (p *planner) createSpace(s *ngql.CreateSpace) (*plan, error) {
	p.pending[s.Name] = true
	if s.As != "" {
		return once(func(r *runner) error { return r.c.Store.CopySpace(s.Name, s.As, s.IfNotExists) }), nil
	}
	if s.VidType == nil {
		return nil, graph.Semantic("space vid_type must be specified explicitly")
	}
	if s.VidType.Name != "fixed_string" && s.VidType.Name != "int64" {
		return nil, graph.Semantic("Only support FIXED_STRING or INT64 vid type, but was %s", s.VidType)
	}
	sp := graph.Space{
		Name: s.Name, Parts: 100, Replicas: 1, Charset: "utf8", Collate: "utf8_bin", Vid: *s.VidType, Comment: s.Comment,
	}
	for k, v := range s.Options {
		n, _ := strconv.Atoi(v) // a name is no number
		switch {
		case k == "partition_num":
			sp.Parts = n
		case k == "replica_factor":
			sp.Replicas = n
		case k == "charset" && v != "utf8":
			return nil, graph.Semantic("Charset `%s' not support", v)
		case k == "collate" && v != "utf8_bin":
			return nil, graph.Semantic("Collation `%s' not support", v)
		}
	}
	return once(func(r *runner) error {
		if sp.Replicas > 1 { // there is one host
			return graph.Failed("Host not enough!")
		}
		return r.c.Store.CreateSpace(sp, s.IfNotExists)
	}), nil
}

func createIndex(r *runner, s *ngql.CreateIndex) error {
	space, err := r.space()
	if err != nil {
		return err
	}
	sc, err := space.Latest(s.Edge, s.On)
	if err != nil {
		return err
	}
	i := graph.Index{Name: s.Name, Edge: s.Edge, On: s.On, Fields: s.Fields, Comment: s.Comment}
	seen := map[string]bool{}
	for _, f := range s.Fields {
		at := sc.Index(f.Name)
		switch {
		case seen[f.Name]:
			return graph.Failed("Conflict!")
		case at < 0 && s.Edge:
			return graph.ErrNoEdgeProp
		case at < 0:
			return graph.ErrNoTagProp
		}
		seen[f.Name] = true
		if err := indexable(sc.Columns[at].Type, f.Len, len(s.Fields)); err != nil {
			return err
		}
	}
	return space.CreateIndex(i, s.IfNotExists)
}

// maxIndexLength is of a string in an index.
const maxIndexLength = 256

func indexable(t ngql.ColumnType, length, fields int) error {
	switch {
	case t.Name == "duration", t.Name == "string" && length < 1:
		return graph.ErrBadParam
	case length > maxIndexLength, t.Name == "geography" && fields > 1:
		return graph.ErrUnsupport
	case t.Name != "string" && t.Name != "fixed_string" && length > 0:
		return graph.ErrBadParam
	}
	return nil
}

func drop(r *runner, s *ngql.Drop) error {
	switch s.What {
	case "SPACE", "CLEAR SPACE":
		if err := r.c.Store.DropSpace(s.Name, s.IfExists, s.What != "SPACE"); err != nil {
			return err
		}
		if s.What == "SPACE" && r.c.Space == s.Name {
			r.c.Space = ""
		}
		return nil
	case "USER":
		return r.c.Admin.DropAccount(s.Name, s.IfExists)
	}
	space, err := r.space()
	if err != nil {
		return err
	}
	edge := s.What[0] == 'E'
	if s.What == "TAG" || s.What == "EDGE" {
		return space.Drop(edge, s.Name, s.IfExists)
	}
	return space.DropIndex(edge, s.Name, s.IfExists)
}

// rebuild fills indexes at once, and answers the number of a job that is finished.
func rebuild(s *ngql.Rebuild) *plan {
	return &plan{run: func(r *runner, _ *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var all []*graph.Index
		for _, n := range s.Names {
			i := space.Index(s.Edge, n)
			if i == nil {
				return nil, graph.ErrNoIndex
			}
			all = append(all, i)
		}
		if s.Names == nil {
			all = space.Indexes(s.Edge)
		}
		for _, i := range all {
			space.Rebuild(i)
		}
		return job(r, space, map[bool]string{true: "REBUILD_EDGE_INDEX", false: "REBUILD_TAG_INDEX"}[s.Edge]), nil
	}}
}

func submit(s *ngql.SubmitJob) *plan {
	return &plan{run: func(r *runner, _ *Table) (*Table, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		if s.Job == "STATS" {
			space.Count()
		}
		command := s.Job
		if command == "BALANCE LEADER" {
			command = "LEADER_BALANCE"
		}
		return job(r, space, command), nil
	}}
}

func job(r *runner, space *graph.Space, command string) *Table {
	id := r.c.Store.Submit(space.Name, command)
	return &Table{Names: []string{"New Job Id"}, Rows: [][]any{{id}}}
}

func (p *planner) kill(s *ngql.KillSession) (*plan, error) {
	if !evaluable(s.ID) {
		return nil, graph.Semantic("`%s' is not an evaluable expression.", s.ID)
	}
	id, ok := p.constant(s.ID).(int64)
	if !ok {
		return nil, graph.Semantic("Session id must be an integer: %s", s.ID)
	}
	return &plan{run: func(r *runner, _ *Table) (*Table, error) {
		return &Table{Names: []string{"killed sessions"}, Rows: [][]any{{r.c.Admin.Kill([]int64{id})}}}, nil
	}}, nil
}
