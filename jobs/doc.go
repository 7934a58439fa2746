// Package jobs carries changes from the log into the backends, with River workers, and keeps them going.
//
// # The life of one change
//
//  1. A transaction commits rows and, by the triggers of a watch, their keys in the log (package outbox).
//  2. The keeper sees that a lane is behind and nobody holds it, and inserts a project job in the backend's queue.
//  3. The job takes the lane (outbox.Take) and drains it: one goroutine reads pages of the log and the records of
//     their keys in portions of bounded size, another writes the portion before to the store, in parallel batches.
//  4. Each record is acknowledged, retried, or parked. When a page is done, its position is saved.
//  5. The job ends after its slice of time, or when nothing has come for a while, and records what it did.
//
// # Invariants
//
//   - What River says of a job is never the truth about a lane: positions and leases are. River may lose a job, run
//     it twice or believe that it runs when its process is dead; the keeper inserts another.
//   - Nothing is sent to a store without a live lease, nothing is saved before everything was answered for.
//   - Pages of a lane are written one after the other, so one key never has two writes under way.
//   - One backend's trouble stays in its own queue, its own lanes and its own share of memory.
package jobs
