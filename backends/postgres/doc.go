// Package postgres is the backend of type "postgres": a read model in any PostgreSQL from 13 to 18, the one
// that is read from or another. It needs no other server, and is queried in SQL: full text, nearest
// vectors, and graphs of edges.
//
// A target is a table: key, version, body (the projection's columns as jsonb) and what the target's
// settings add. A deleted record leaves a tombstone, a row without a body, so that a late write of an
// older version is refused like any other; tombstones are removed after a time that must exceed the age
// of the oldest write that can still come.
//
//   - text names columns, the most important first, whose words search finds.
//   - vector names a real[] column by which nearest compares.
//   - edge names the columns that make each record an edge between two keys, for neighbours and traverse.
//
// Write is one statement per batch, whatever the size: a column is sent as one array, the texts are cut
// into words and the vectors reduced to signs on this side, so that the server has little to do. Records
// are written in the order of their keys, so that writers cannot deadlock. Scan recomputes digests from
// what is stored.
//
// docs/readmodel.md tells users of the tables and functions.
package postgres
