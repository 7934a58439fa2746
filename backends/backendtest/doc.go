// Package backendtest proves that a backend keeps the promises of package backends: one conformance suite
// for every store, stand-in and real server alike.
//
//	func TestConformance(t *testing.T) {
//		backendtest.Run(t, backendtest.Suite{
//			Open:   func(t testing.TB) backends.Backend { ... },
//			Source: func(t testing.TB) *pgxpool.Pool { ... },
//		})
//	}
//
// Records are not made up: the suite keeps rows in a real PostgreSQL and reads them by package projection,
// as the engine does, so that a store meets every form a value can have. What is asserted follows from the
// backend's Features; a store that promises less is not tested for more.
//
// The suite is itself tested: against Memory, a backend that keeps every promise, and against variants of
// it that each break one.
package backendtest
