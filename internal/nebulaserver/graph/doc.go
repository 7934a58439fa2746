// Package graph is what the stand-in for NebulaGraph keeps: spaces with their schemas and indexes, and the
// vertices and edges in their partitions.
//
// A [Store] is safe for concurrent use: every method takes its lock. Schemas are never changed once they are
// made: an ALTER makes a new one, which counts from when the heartbeats would have told of it ([Store.Delay]).
// Writes are atomic per partition and not beyond it, as they are in storaged: see [Store.Apply].
package graph
