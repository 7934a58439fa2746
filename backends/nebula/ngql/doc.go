// Package ngql writes nGQL statements for NebulaGraph 3: rows to insert, and keys to delete or to fetch, as literals.
//
// Whatever bytes a name or a value has, a statement means what was asked for and nothing else. Strings need four escapes,
// see [AppendString]; names that cannot be quoted are refused, see [CheckName]. The fuzz tests read what was written with
// the parser of the server that stands in for NebulaGraph in tests.
//
// Statements are built into memory that is used again:
//
//	s, err := ngql.NewInsertVertex("symbol", []string{"name", "line"})
//	...
//	err = s.Add(ngql.StringID("a.go:f"), []ngql.Value{ngql.String("f"), ngql.Int(7)})
//	...
//	client.Execute(session, s.Bytes())
//	s.Reset()
//
// A statement is for one goroutine at a time.
package ngql
