// Package outbox is the log of changes and both of its sides: what writers put into it, in their own
// transactions, and what readers take out of it, exactly.
//
// # Writing
//
// A transaction puts changes into the log in one of three ways, and commits them with its data or not at all:
// it writes tables that are watched (Watch), it writes the ready-made table outbox.records (Put, Delete), or it
// says which keys changed (Changed). All three work from plain SQL as well. Token gives what Wait waits for.
//
// # Reading
//
// The log says which keys changed, not what they became. A reader owns a lane: a range of key hashes of one
// backend, by a lease (Tenure). Its Position is a snapshot: everything visible in it has been applied. One turn
// of the reader is:
//
//  1. Page reads the next rows of the log that are visible now and were not at the position, and the state of
//     their keys, in one read-only transaction that holds the tables and sees the lease.
//  2. The keys' records go to the store (package jobs).
//  3. Save stores the new position, with what was parked, if the lease is still the reader's own.
//
// # Invariants
//
//   - A position is saved after the store acknowledged or refused every record of the page, never before.
//   - A page is read only in a snapshot that contains the reader's own lease: what a former owner has in hand is
//     therefore part of the delta that its successor logs again (suspects).
//   - Ids and times say nothing about the order of commits: only snapshots do.
//   - Positions mean something only in the history that made them: see Rebase.
package outbox
