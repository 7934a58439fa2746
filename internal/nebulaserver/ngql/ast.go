package ngql

import "strconv"

// Stmt is a statement.
type Stmt any

// ColumnType is the type of a property, or of the vertices' ids.
type ColumnType struct {
	Name  string // int8 … int64, float, double, bool, string, fixed_string, date, time, datetime, timestamp, duration, geography
	Len   int    // of a fixed_string, in bytes
	Shape string // of a geography: point, linestring, polygon; empty: any
}

// String is the type as DESCRIBE shows it.
func (t ColumnType) String() string {
	switch {
	case t.Name == "fixed_string":
		return "fixed_string(" + strconv.Itoa(t.Len) + ")"
	case t.Shape != "":
		return "geography(" + t.Shape + ")"
	}
	return t.Name
}

// Value is the type of the values, as package value names it.
func (t ColumnType) Value() string {
	switch t.Name {
	case "int8", "int16", "int32", "int64", "timestamp":
		return "INT"
	case "float", "double":
		return "FLOAT"
	case "string", "fixed_string":
		return "STRING"
	case "bool":
		return "BOOL"
	case "date":
		return "DATE"
	case "time":
		return "TIME"
	case "datetime":
		return "DATETIME"
	case "duration":
		return "DURATION"
	case "": // of a space that is not known
		return "__EMPTY__"
	}
	return "GEOGRAPHY"
}

// Sequences and what holds statements together.
type (
	// Assign is $Var = Stmt.
	Assign struct {
		Var  string
		Stmt Stmt
	}
	// Pipe feeds the answer of Left to Right.
	Pipe struct{ Left, Right Stmt }
	// SetOp is UNION, UNION ALL, INTERSECT or MINUS.
	SetOp struct {
		Op          string
		Left, Right Stmt
	}
)

// Column is one of YIELD: an expression and the name it is given.
type Column struct {
	Expr  Expr
	Alias string
}

// Name is the alias, or the text of the expression.
func (c Column) Name() string {
	if c.Alias != "" {
		return c.Alias
	}
	return c.Expr.String()
}

// String is the column as messages show it.
func (c Column) String() string {
	if c.Alias != "" {
		return c.Expr.String() + " AS " + c.Alias
	}
	return c.Expr.String()
}

// Yield is a YIELD clause.
type Yield struct {
	Distinct bool
	Columns  []Column
}

// Vids are literals, or one reference to the input.
type Vids struct {
	List []Expr
	Ref  *Input
}

// EdgeKey names an edge, by literals or by references.
type EdgeKey struct {
	Src, Dst Expr
	Rank     Expr // nil: 0
}

// Writing statements.
type (
	// TagProps is a tag and the properties that rows give; nil: all of them, in their order.
	TagProps struct {
		Name  string
		Props []string
	}
	// VertexRow is a row of INSERT VERTEX.
	VertexRow struct {
		ID     Expr
		Values []Expr
	}
	// EdgeRow is a row of INSERT EDGE.
	EdgeRow struct {
		Key    EdgeKey
		Values []Expr
	}
	// InsertVertex is INSERT VERTEX.
	InsertVertex struct {
		IfNotExists, IgnoreIndex bool
		Tags                     []TagProps
		Rows                     []VertexRow
	}
	// InsertEdge is INSERT EDGE.
	InsertEdge struct {
		IfNotExists, IgnoreIndex bool
		Edge                     TagProps
		Rows                     []EdgeRow
	}
	// SetItem is prop = expr, or sym.prop = expr.
	SetItem struct {
		Sym, Prop string
		Value     Expr
	}
	// Update is UPDATE and UPSERT of a vertex (ID) or an edge (Key).
	Update struct {
		Insertable bool
		Edge       bool
		Name       string // empty in the older syntax: SET says it
		ID         Expr
		Key        EdgeKey
		Items      []SetItem
		When       Expr
		Yield      *Yield
	}
	// DeleteVertex is DELETE VERTEX.
	DeleteVertex struct {
		Vids     Vids
		WithEdge bool
	}
	// DeleteTag is DELETE TAG; no tags: all.
	DeleteTag struct {
		Tags []string
		Vids Vids
	}
	// DeleteEdge is DELETE EDGE.
	DeleteEdge struct {
		Edge string
		Keys []EdgeKey
		Ref  bool // the one key refers to the input
	}
)

// Reading statements.
type (
	// FetchVertex is FETCH PROP ON tags; no tags: all.
	FetchVertex struct {
		Tags  []string
		Vids  Vids
		Yield *Yield
	}
	// FetchEdge is FETCH PROP ON an edge.
	FetchEdge struct {
		Edge  string
		Keys  []EdgeKey
		Ref   bool
		Yield *Yield
	}
	// Lookup is LOOKUP ON.
	Lookup struct {
		On    string
		Where Expr
		Yield *Yield
	}
	// Go is GO: From to To steps over edges (none: all), Direction "", "REVERSELY" or "BIDIRECT".
	Go struct {
		From, To  int64
		Vids      Vids
		Over      []string
		Direction string
		Where     Expr
		Yield     *Yield
		Truncate  Expr
		Sample    bool
	}
	// YieldStmt is YIELD or RETURN as a statement.
	YieldStmt struct {
		Yield Yield
		Where Expr
	}
	// OrderBy sorts its input.
	OrderBy struct{ Factors []Factor }
	// Factor is an expression to sort by.
	Factor struct {
		Expr Expr
		Desc bool
	}
	// Limit cuts its input.
	Limit struct{ Offset, Count int64 }
	// GroupBy groups its input.
	GroupBy struct {
		Keys  []Column
		Yield Yield
	}
	// Unwind is UNWIND as a statement.
	Unwind struct {
		Expr  Expr
		Alias string
	}
	// MatchNode is (alias:tag{props}).
	MatchNode struct {
		Alias string
		Tags  []string
		Props []*MapOf // of each tag, or nil
	}
	// MatchHop is -[alias:types]-> and the node after it; Direction is ">", "<" or "-".
	MatchHop struct {
		Alias     string
		Types     []string
		Direction string
		Node      MatchNode
	}
	// Match is MATCH of one path and RETURN.
	Match struct {
		First       MatchNode
		Hops        []MatchHop
		Where       Expr
		Return      Yield // no columns: *
		Order       []Factor
		Skip, Limit Expr
	}
)
