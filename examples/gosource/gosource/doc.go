// Package gosource turns Go source code into the ready-made model of package ast: an example of an extractor.
//
//	for file, err := range gosource.Files(ctx, root, gosource.Options{}) { ... }
//
// Files are parsed with go/parser, several at once, and come in the order of their paths. Symbols are the
// package and everything declared at package level: functions, methods, types, struct fields, the methods of
// interfaces, constants and variables. Names are qualified by import path: net/http.Server.Addr.
//
// # What is approximated
//
// There is no type checker, so that any tree can be read, quickly, even one that does not build. Names are
// resolved by scope: local names by the parser, others in their package or by the file's imports, as far as
// the imported package lies below the root. From this follows what relations say:
//
//   - contains: exact. A method belongs to its type if both are in one file, else to the file.
//   - imports: from the file to the package, whose symbol is in the package's file with the package comment,
//     else in its first one. Exact for packages below the root, others have none.
//   - embeds: exact for types below the root.
//   - calls, references: exact for functions, types, constants and variables. A method or field is found when
//     the operand is a name whose type shows in its declaration: a receiver, a parameter, var x T,
//     x := T{}, &T{} or new(T). Promoted methods and fields, calls through interfaces held in fields, and the
//     results of calls are not followed. Calls of variables of function type are references.
//   - a name declared in several files of a package, for several systems, means the one in the same file, then
//     the one whose file name ends alike (_linux.go), then the first one outside of tests.
//
// # Embeddings
//
// The vectors are no neural network's. They hash features: the words of names and documentation, each
// counted in one of 256 dimensions with a sign, and the sum brought to length 1 (model hash-256). Symbols
// that share words are near to one another, that is all; it needs no model and no network.
package gosource
