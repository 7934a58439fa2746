// Package ast is the ready-made model of source code, for those who have no tables of their own yet: files,
// their symbols, the relations between them and embeddings of symbols, in the schema ast, and their loader.
//
//	result, err := ast.Load(ctx, pool, ast.ReadNDJSON(os.Stdin), ast.Options{})
//
// The tables are ordinary ones. They are watched because the configuration says so (see Config), not because
// of this package, and plain SQL may write to them just as well.
//
// # Identity
//
// Ids follow from what they identify, so that a load can be repeated and can run anywhere:
//
//   - FileID: UUIDv5 of repository, NUL, path, in the namespace UUIDv5(URL namespace,
//     "https://github.com/outflow-db/outflow/ast");
//   - SymbolID: UUIDv5 of kind, NUL, qualified name, in the namespace of the file's id. An ordinal other
//     than 0 follows after another NUL. It tells symbols of one file apart that share kind and qualified
//     name, such as the init functions of a Go file;
//   - a relation is (source, type, target), both ends ids of files or symbols;
//   - an embedding is (symbol, model).
//
// In Python: uuid5(uuid5(uuid5(NAMESPACE_URL, "https://github.com/outflow-db/outflow/ast"), "go\0fmt/print.go"), "function\0fmt.Println").
//
// A relation starts in the file that states it and may end anywhere: that the target is absent, because its
// file is not loaded or not yet, is no mistake, and nothing checks it.
//
// # NDJSON
//
// ReadNDJSON and WriteNDJSON know a SourceFile as one line of JSON (here folded):
//
//	{"version": 1, "repository": "go", "path": "fmt/print.go", "language": "go", "bytes": 31645, "lines": 1235, "content": "...",
//	 "symbols": [
//	   {"kind": "function", "name": "Println", "qualified": "fmt.Println", "signature": "func Println(a ...any) (n int, err error)",
//	    "doc": "Println formats ...", "line_start": 313, "line_end": 315,
//	    "embeddings": [{"model": "hash-256", "vector": [0, 0.25, ...]}]}],
//	 "relations": [
//	   {"type": "contains", "target": {"kind": "function", "qualified": "fmt.Println"}},
//	   {"source": {"kind": "function", "qualified": "fmt.Println"}, "type": "references",
//	    "target": {"path": "os/file.go", "kind": "var", "qualified": "os.Stdout"}}]}
//
// An end of a relation names a symbol by kind, qualified name and ordinal; without these it is the file. A
// source is always in the file itself. A target in another file has its path, and its repository if that is
// another one. Fields that a line does not have are empty; unknown fields are refused. Schema is the JSON Schema of
// a line.
package ast
