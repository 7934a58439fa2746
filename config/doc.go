// Package config reads Outflow's configuration: one YAML file, with overrides from the environment.
//
//	database: ${DATABASE_URL}            # URL or keyword=value pairs of the PostgreSQL that holds the truth
//	log:
//	  level: info                        # debug, info, warn, error
//	  format: text                       # text, json
//	worker:                              # all optional; see package jobs for the defaults
//	  lease: 15s                         # how long a worker holds a lane without a sign of life
//	  slice: 20s                         # how long one job drains a lane before it completes
//	  retention: 7d                      # how long applied rows stay in the log
//	  page_keys: 2000                    # keys in a page
//	  portion_bytes: 4MiB                # bytes of records in memory at once, per lane
//	  lanes: 1                           # ranges of keys that are written side by side, of backends added from now on
//	  poll: false                        # true: no LISTEN (PgBouncer in transaction mode, PREPARE TRANSACTION)
//	kinds:
//	  file:                              # a kind of records
//	    table: ast.files                 # the table whose changes are logged; none: the kind is declared in the database
//	    key: path                        # a column, or a list of columns; default: the primary key
//	    per_row: false                   # true: row triggers, for tables that logical replication writes
//	    dependants:                      # kinds whose records change when this kind's do
//	      symbol: select id from ast.symbols where file = any($1)
//	backends:
//	  search:                            # a configured store
//	    type: postgres                   # a registered type of backend
//	    settings: {}                     # what the type asks for: addresses, credentials, limits
//	projections:
//	  - kind: file                       # from this kind
//	    backend: search                  # into this backend
//	    target: files                    # an index, a collection, a tag, a table
//	    query: select path as key, body from ast.files where path = any($1)
//	    settings: {}                     # the target's settings, as the type of backend knows them
//
// # References
//
// A value may name a variable of the environment, ${NAME} or ${NAME:-default}, or the content of a file,
// ${file:/run/secrets/password}, without its last newline; a relative path starts at the folder of the
// configuration file. $${ is a plain ${. A value with a reference is text; where settings want another type,
// a YAML tag says so: !!int ${POOL}.
//
// # Overrides
//
// OUTFLOW_DATABASE, OUTFLOW_LOG_LEVEL, OUTFLOW_LOG_FORMAT and OUTFLOW_WORKER_LEASE, _SLICE, _RETENTION,
// _PAGE_KEYS, _PORTION_BYTES, _POLL stand in for the file's values. DATABASE_URL is used when nothing else
// names a database, and then the variables that psql reads (PGHOST, PGSERVICE, ...).
//
// # Problems
//
// Everything that is wrong is reported at once, each with its line and column and what was expected, see
// Error. Secrets do not appear in errors, nor in what a Config prints or logs of itself.
package config
