// Package backends is the contract between Outflow and a store, and nothing else.
//
// A backend is one configured store. The engine (package jobs) reads records from PostgreSQL and hands
// them to the backend; the backend writes them and answers for each one. A store's own code lives in a
// package below this one and registers itself by type name, as database/sql drivers do:
//
//	import _ "github.com/outflow-db/outflow/backends/postgres"
//
// # The life of a backend
//
//  1. Open makes a Backend from a Config. It checks the settings and may not need the store to be up.
//  2. Layout says, without I/O, in which form the backend wants a target's records.
//  3. Prepare creates what is missing in the store. It is idempotent and runs before the first Write.
//  4. Write takes records of one target; Scan and Lookup read back what the store holds, for verify.
//  5. Close ends it.
//
// # What a backend must promise
//
//   - Writing a record twice leaves the store as writing it once.
//   - Write answers for each record of a batch, or fails as a whole with an *Error that has a class.
//     An acknowledged record is durable in the store, and readable once the store refreshes.
//   - Identity in the store derives from the record's key alone, so that a delete needs no old row.
//   - The record's version and digest are kept beside it and come back from Scan and Lookup.
//   - A record that carries a lower version than the one stored is answered Stale and changes nothing,
//     where Features.Guarded says so.
//   - All methods may be called concurrently. For one key there is one Write in flight at a time: that is
//     the engine's duty.
//   - A cancelled context ends a call soon. If the request may have been sent, the class is Unknown.
//
// Package backendtest proves these promises for any backend.
package backends
