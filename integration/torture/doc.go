// Command torture proves the whole engine: it writes at random and in every way that PostgreSQL has, while worker
// processes are killed, stopped and cut off and stores misbehave, and then compares every store with PostgreSQL.
//
//	go run ./integration/torture -d 5m -seed 1
//	go run ./integration/torture -d 5m -elasticsearch
//
// # What runs
//
//   - Writers: ten connections with random transactions of every statement form and ending, rewriting DDL among
//     them. One transaction, one prepared transaction and one old snapshot stay open throughout.
//   - Workers: three processes that run jobs.Engine. They are killed with SIGKILL and stopped with SIGSTOP at
//     random, some for longer than the lease, one for longer than anything is suspected.
//   - Stores: "local" and "remote" are read models in PostgreSQL, in the same and in another database; copies of
//     requests to them arrive much later than anybody allows for. "loose" and "single" are served by the parent,
//     know no versions, and lose, delay and refuse requests, and lose answers. Values with the word poison are refused.
//     With -elasticsearch there is "search", a real Elasticsearch, behind a relay that does the same to bulk requests, and
//     sends copies of them much later.
//
// # What is proven
//
//   - Every store equals PostgreSQL, by jobs.Verify and by a comparison of its own.
//   - Exactly what a store refuses is parked, and arrives when it was mended.
//   - Rows are delivered while the long transaction is open, and its own after its commit.
//   - What commits while a delta is half read is delivered after it, once.
//   - A worker that gets SIGTERM finishes, lets go of its lanes and exits with 0.
//
// The seed makes the workload: what the writers and the disturbances do. What comes first is up to the machine.
package main
