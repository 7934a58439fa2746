// Package qdrantserver is a Qdrant in this process, for tests: the real gRPC services on a real listener.
//
// It is a stand-in for Qdrant 1.18.3 in what a writer of points can see: collections with their configuration,
// aliases that change in one step, payload indexes, points with payload and named, sparse and multi vectors, filters
// that are evaluated, upserts with an update filter, scroll, count, and search by comparing with every point. Each
// shard applies its operations one after the other, in the order in which they came; who waits is answered when
// they are applied. Errors have the codes and texts of the server.
//
// It is not one in these: nothing is on disk, no optimiser runs (a test says what status a collection has), search
// is exact, strict mode checks the size of batches only, there are no snapshots, no clusters and no filters by
// place. Calls of what is missing are answered Unimplemented.
//
// A test can make faults (see Fault): calls that are refused, cut, held, answered late or not at all, or applied
// when their caller has long gone.
package qdrantserver
