package ngql

// Expr is an expression; its String is graphd's text of it.
type Expr interface{ String() string }

// The leaves.
type (
	// Const is a literal, or what one was folded into.
	Const struct{ Value any }
	// Label is a bare name: what it means depends on the statement.
	Label struct{ Name string }
	// Variable is $name outside of a property, where no parameter has this name.
	Variable struct{ Name string }
	// Param is a parameter of the request.
	Param struct{ Name string }
	// Input is $-.name, or $var.name.
	Input struct{ Var, Name string }
	// EndProp is $^.tag.prop or $$.tag.prop; End is "$^" or "$$".
	EndProp struct{ End, Tag, Prop string }
	// KeyProp is edge._src, _dst, _rank or _type; the edge may be "*".
	KeyProp struct{ Edge, Prop string }
	// Entity is VERTEX, EDGE, $^, $$, VERTICES or EDGES.
	Entity struct{ Name string }
)

// The compounds.
type (
	// Attr is X.Name; a Label as X makes it a property of a tag, an edge or a map, depending on the statement.
	Attr struct {
		X    Expr
		Name string
	}
	// Unary has Op "-", "+", "!", "IS NULL", "IS NOT NULL", "IS EMPTY" or "IS NOT EMPTY".
	Unary struct {
		Op string
		X  Expr
	}
	// Binary has an operator in upper case.
	Binary struct {
		Op   string
		L, R Expr
	}
	// Cast is (type)x.
	Cast struct {
		Type ColumnType
		X    Expr
	}
	// Call is a function, or an aggregate if it is one and has one argument.
	Call struct {
		Name      string
		Args      []Expr
		Distinct  bool
		Aggregate bool
	}
	// ListOf is [a, b], or {a, b} if it is a set.
	ListOf struct {
		Items []Expr
		Set   bool
	}
	// MapOf is {a: 1}.
	MapOf struct {
		Keys   []string
		Values []Expr
	}
	// Subscript is X[I], or X[I..To] if it is a Range; the ends of a range may be nil.
	Subscript struct {
		X, I, To Expr
		Range    bool
	}
	// Case is CASE [Of] WHEN … THEN … [ELSE …] END, or a ? b : c.
	Case struct {
		Of, Else   Expr
		When, Then []Expr
		Ternary    bool
	}
	// Iterate is all, any, single and none, a comprehension ("[]") or reduce; Acc and Init are reduce's.
	Iterate struct {
		Name, Var, Acc       string
		Init, In, Where, Out Expr
	}
)
