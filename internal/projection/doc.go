// Package projection turns the query of a projection into records.
//
// A projection's query is one SELECT with one parameter, $1, a text[] of keys. It yields a column named
// key, the key's text form or a type with a stable one, and any other columns; at most one row a key.
//
//  1. Describe finds, once, the query's columns and the tables it reads, without running it.
//  2. A backend says in which layout it wants the columns; SQL wraps the query so that PostgreSQL folds
//     the document and leaves the raw columns apart.
//  3. In the reading transaction, after Locals, the wrapped query runs with Formats and a text[] of keys,
//     and Read makes a Record of each row. Keys that yield no row are the caller's to mark as deleted.
//
// The engine and the conformance suite share this package, so that the suite proves stores with the very
// records the engine will send.
package projection
