// Package nebulaserver is a graphd for tests: NebulaGraph's own thrift service, spoken to by the real client, over
// an interpreter of nGQL 3.8 and a store in memory. It is never part of the product.
//
//	s, err := nebulaserver.Start(nebulaserver.Config{})
//	defer s.Close()
//	// connect to s.Addr() as root with the password nebula
//
// # What it interprets
//
//   - CREATE, DROP, CLEAR, DESCRIBE, SHOW CREATE of SPACE (with AS); CREATE, ALTER, DROP, DESCRIBE, SHOW CREATE of TAG
//     and EDGE, with defaults, NOT NULL, comments and TTL; CREATE, DROP, DESCRIBE, SHOW CREATE, REBUILD of TAG INDEX and
//     EDGE INDEX; SHOW SPACES, TAGS, EDGES, INDEXES, INDEX STATUS, HOSTS, PARTS, JOBS, JOB, SESSIONS, STATS, USERS, ROLES,
//     CHARSET, COLLATION; SUBMIT JOB STATS, COMPACT, FLUSH, BALANCE LEADER; USE.
//   - INSERT VERTEX and EDGE (IF NOT EXISTS, IGNORE_EXISTED_INDEX); UPDATE and UPSERT with WHEN and YIELD in both
//     syntaxes; DELETE VERTEX (WITH EDGE), TAG, EDGE, of literals, pipes and variables.
//   - FETCH PROP ON; GO with steps, directions, WHERE, SAMPLE and LIMIT; LOOKUP; YIELD, RETURN; MATCH of one path of
//     single hops with WHERE, RETURN, ORDER BY, SKIP and LIMIT; pipes, ORDER BY, LIMIT, GROUP BY, UNWIND, UNION, INTERSECT,
//     MINUS, variables, parameters, and sequences of all these.
//   - CREATE, ALTER, DROP USER, CHANGE PASSWORD, GRANT and REVOKE ROLE, KILL SESSION.
//
// Everything else answers -1005 "not interpreted by this server: …" and does nothing. That holds for FIND PATH, GET
// SUBGRAPH, EXPLAIN, PROFILE, clauses joined by WITH, full-text indexes, zones, snapshots and configurations, and for the
// functions extract, json_extract, st_distance and st_isvalid. Other functions that it does not have are a syntax error.
//
// # What it does like a cluster
//
// Vertices and edges live in partitions, by graphd's own hash. A statement is atomic in a partition and not beyond
// it; an edge is written at its source and at its target. What a schema becomes counts after [Config.Delay]. Indexes
// have what was written since they were made. Faults can be switched on: see [Server.Inject] and [Server.InjectPart].
//
// Package value has the values, ngql the parser, eval the expressions, graph the store, exec the statements.
package nebulaserver
