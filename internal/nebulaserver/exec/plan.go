package exec

import (
	"errors"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// Table is an answer. Types are what is known of the columns before there are rows.
type Table struct {
	Names, Types []string
	Rows         [][]any
}

// Context is the session that a request runs in. Run changes Space.
type Context struct {
	Store  *graph.Store
	Admin  Admin
	Params value.Map
	User   string
	Space  string
}

// plan is a statement that was checked: the form of its answer, and how to get it. run is given the table that
// is piped in, if any.
type plan struct {
	names, types []string
	run          func(r *runner, in *Table) (*Table, error)
}

// planner has what the statements before have settled.
type planner struct {
	c       *Context
	space   *graph.Space // nil: none is chosen; one that does not exist yet has nothing
	chosen  string
	pending map[string]bool // spaces that statements before will make
	made    map[string]bool // tags and edge types likewise
	vars    map[string]*plan
	in      *plan // what is piped in
}

// runner has what the statements before have done.
type runner struct {
	c    *Context
	vars map[string]*Table
}

// space is the session's now.
func (r *runner) space() (*graph.Space, error) {
	if s := r.c.Store.Any(r.c.Space); s != nil {
		return s, nil
	}
	return nil, graph.ErrNoSpace
}

// Run carries out a request and returns the answer of its last statement, nil if that has none.
func Run(c *Context, src string) (*Table, error) {
	names := make(map[string]bool, len(c.Params))
	for n := range c.Params {
		names[n] = true
	}
	stmts, err := ngql.Parse(src, names)
	if err != nil {
		return nil, syntax(err)
	}
	if len(stmts) == 0 {
		return nil, &graph.Error{Code: nebula.ErrorCode_E_STATEMENT_EMPTY, Text: "StatementEmpty: "}
	}
	p := &planner{c: c, pending: map[string]bool{}, made: map[string]bool{}, vars: map[string]*plan{}}
	if c.Space != "" {
		p.use(c.Space)
	}
	plans := make([]*plan, len(stmts))
	for i, s := range stmts {
		if plans[i], err = p.plan(s); err != nil {
			return nil, err
		}
	}
	r := &runner{c: c, vars: map[string]*Table{}}
	var last *Table
	for _, pl := range plans {
		if last, err = pl.run(r, nil); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func syntax(err error) error {
	code := nebula.ErrorCode_E_SYNTAX_ERROR
	if _, ok := errors.AsType[*ngql.UnsupportedError](err); ok {
		code = nebula.ErrorCode_E_EXECUTION_ERROR
	}
	return &graph.Error{Code: code, Text: err.Error()}
}

func (p *planner) use(space string) {
	if p.chosen, p.space = space, p.c.Store.Usable(space); p.space == nil {
		p.space = p.c.Store.Unknown()
	}
}

// plan checks one statement.
func (p *planner) plan(s ngql.Stmt) (*plan, error) {
	switch s := s.(type) {
	case *ngql.Assign:
		return p.assign(s)
	case *ngql.Pipe:
		return p.pipe(s)
	case *ngql.SetOp:
		return p.setOp(s)
	}
	need, free := needs(s)
	if !free && p.chosen == "" {
		return nil, graph.Semantic("Space was not chosen.")
	}
	if err := p.c.Admin.Allow(p.c.User, p.chosen, need); err != nil {
		return nil, err
	}
	pl, err := p.dispatch(s)
	if err != nil {
		return nil, err
	}
	if p.in != nil {
		if err := unique(p.in.names); err != nil {
			return nil, err
		}
	}
	return pl, nil
}

func unique(names []string) error {
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			return graph.Semantic("Duplicate Column Name : `%s'", n)
		}
		seen[n] = true
	}
	return nil
}

// needs is the right that a statement takes; free: it needs no space.
func needs(s ngql.Stmt) (need Right, free bool) {
	switch s := s.(type) {
	case *ngql.Use, *ngql.YieldStmt, *ngql.Unwind, *ngql.OrderBy, *ngql.Limit, *ngql.GroupBy:
		return Nothing, true
	case *ngql.Show:
		switch s.What {
		case "SPACES", "HOSTS", "SESSIONS", "LOCAL SESSIONS", "CHARSET", "COLLATION":
			return Nothing, true
		case "USERS", "ROLES IN":
			return God, true
		}
		return Read, false
	case *ngql.Describe:
		return Read, s.What == "SPACE"
	case *ngql.ShowCreate:
		return Read, s.What == "SPACE"
	case *ngql.CreateSpace, *ngql.Role, *ngql.KillSession:
		return God, true
	case *ngql.User:
		if s.Verb == "CHANGE" {
			return Nothing, true
		}
		return God, true
	case *ngql.Drop:
		if s.What == "SPACE" || s.What == "CLEAR SPACE" || s.What == "USER" {
			return God, true
		}
		return Define, false
	case *ngql.CreateSchema, *ngql.AlterSchema, *ngql.CreateIndex, *ngql.Rebuild, *ngql.SubmitJob:
		return Define, false
	case *ngql.InsertVertex, *ngql.InsertEdge, *ngql.Update, *ngql.DeleteVertex, *ngql.DeleteTag, *ngql.DeleteEdge:
		return WriteData, false
	}
	return Read, false
}

func (p *planner) dispatch(s ngql.Stmt) (*plan, error) {
	switch s := s.(type) {
	case *ngql.Use:
		return p.useStmt(s)
	case *ngql.YieldStmt:
		return p.yieldStmt(s)
	case *ngql.OrderBy:
		return p.orderBy(s)
	case *ngql.Limit:
		return p.limit(s)
	case *ngql.GroupBy:
		return p.groupBy(s)
	case *ngql.Unwind:
		return p.unwind(s)
	case *ngql.FetchVertex:
		return p.fetchVertex(s)
	case *ngql.FetchEdge:
		return p.fetchEdge(s)
	case *ngql.Go:
		return p.goStmt(s)
	case *ngql.Lookup:
		return p.lookup(s)
	case *ngql.Match:
		return p.match(s)
	case *ngql.InsertVertex:
		return p.insertVertex(s)
	case *ngql.InsertEdge:
		return p.insertEdge(s)
	case *ngql.Update:
		return p.update(s)
	case *ngql.DeleteVertex:
		return p.deleteVertex(s)
	case *ngql.DeleteTag:
		return p.deleteTag(s)
	case *ngql.DeleteEdge:
		return p.deleteEdge(s)
	}
	return p.define(s)
}

func (p *planner) useStmt(s *ngql.Use) (*plan, error) {
	if p.c.Store.Usable(s.Space) == nil && !p.pending[s.Space] {
		return nil, graph.Failed("SpaceNotFound: SpaceName `%s`", s.Space)
	}
	if err := p.c.Admin.Allow(p.c.User, s.Space, Read); err != nil && !p.pending[s.Space] {
		return nil, err
	}
	p.use(s.Space)
	return &plan{run: func(r *runner, _ *Table) (*Table, error) {
		if r.c.Store.Any(s.Space) == nil {
			return nil, graph.Failed("SpaceNotFound: SpaceName `%s`", s.Space)
		}
		r.c.Space = s.Space
		return nil, nil //nolint:nilnil // there is no answer
	}}, nil
}

func (p *planner) assign(s *ngql.Assign) (*plan, error) {
	inner, err := p.plan(s.Stmt)
	if err != nil {
		return nil, err
	}
	p.vars[s.Var] = inner
	return &plan{run: func(r *runner, in *Table) (*Table, error) {
		t, err := inner.run(r, in)
		r.vars[s.Var] = t
		return nil, err
	}}, nil
}

func (p *planner) pipe(s *ngql.Pipe) (*plan, error) {
	left, err := p.plan(s.Left)
	if err != nil {
		return nil, err
	}
	outer := p.in
	p.in = left
	right, err := p.plan(s.Right)
	p.in = outer
	if err != nil {
		return nil, err
	}
	run := func(r *runner, in *Table) (*Table, error) {
		t, err := left.run(r, in)
		if err != nil {
			return nil, err
		}
		return right.run(r, t)
	}
	return &plan{right.names, right.types, run}, nil
}

// types are those of names in an expression that may use the input and variables.
func (p *planner) types() *eval.Types {
	t := &eval.Types{Params: p.c.Params, Vid: p.vidType()}
	t.Input = func(variable, name string) (string, error) {
		from, text := p.in, "$-."+name
		if variable != "" {
			from, text = p.vars[variable], "$"+variable+"."+name
			if from == nil {
				return "", graph.Semantic("`%s', not exist variable `%s'", text, variable)
			}
		}
		if from != nil {
			for i, n := range from.names {
				if n == name {
					return from.types[i], nil
				}
			}
		}
		return "", graph.Semantic("`%s', not exist prop `%s'", text, name)
	}
	t.Label = func(name string) (string, error) {
		return "", graph.Semantic("Invalid label identifiers: %s", name)
	}
	return t
}

func (p *planner) vidType() string {
	if p.space == nil {
		return eval.Any
	}
	return p.space.Vid.Value()
}

// undefined refuses variables in a condition.
func undefined(es ...ngql.Expr) error {
	text := ""
	for _, e := range es {
		ngql.Walk(e, func(e ngql.Expr) {
			if v, ok := e.(*ngql.Variable); ok {
				if text != "" {
					text += ", "
				}
				text += v.Name
			}
		})
	}
	if text == "" {
		return nil
	}
	return graph.Semantic("Undefined parameters: %s", text)
}

// boolean checks a condition.
func boolean(e ngql.Expr, t *eval.Types, want string) error {
	if e == nil {
		return nil
	}
	if err := undefined(e); err != nil {
		return err
	}
	typ, err := eval.TypeOf(e, t)
	if err != nil {
		return err
	}
	if typ != "BOOL" && typ != "NULL" && typ != eval.Any {
		return graph.Semantic("`%s', expected %s, but was `%s'", e, want, typ)
	}
	return nil
}
