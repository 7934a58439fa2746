// Package qdrant is the backend for Qdrant: vectors that follow PostgreSQL exactly.
//
// A target is an alias, which readers use, over one collection, its generation; see docs/qdrant.md. A record is one
// point: its id follows from the key, its vectors are columns that pass from PostgreSQL's binary format, its payload
// are all other columns, and beside them the key, the version and the digest, in fields that begin with "outflow_".
//
// Qdrant evaluates a filter on the stored point in the same step in which it writes: upserts and deletes carry one
// that lets no higher version be overwritten. It does not say which points the filter kept out, so each write is
// followed by a question for those that are newer. It keeps no trace of a deleted point, so a late write can bring
// one back; that is for the engine's rules to cover (Features.Tombstones is false).
//
// Facts about the server that the code relies on were read off the source of Qdrant 1.18.3.
package qdrant
