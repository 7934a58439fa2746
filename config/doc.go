// Package config reads Outflow's configuration: one YAML file, with overrides from the environment.
//
//	database: ${DATABASE_URL}            # URL or keyword=value pairs of the PostgreSQL that holds the truth
//	log:
//	  level: info                        # debug, info, warn, error
//	  format: text                       # text, json
//	worker:                              # all optional; these are the defaults
//	  lanes: 1                           # ranges of keys that are written side by side, of backends added from now on
//	  page_keys: 4000                    # keys in a page, about
//	  portion_bytes: 8MiB                # bytes of records that one lane reads before it writes them; less when many lanes are at work
//	  memory_bytes: 128MiB               # bytes of records that all lanes of the process hold at once, about
//	  batch_records: 1000                # records of a request, unless the backend takes fewer
//	  batch_bytes: 4MiB                  # bytes of a request, unless the backend takes fewer
//	  lease: 10s                         # after which a dead worker's lane is free
//	  slice: 10s                         # after which a job makes room for others
//	  linger: 2s                         # how long a job waits for more before it ends
//	  patience: 15s                      # how long a job retries a failing store before River retries it
//	  request: 30s                       # time for one request to a store
//	  save_every: 200ms                  # positions are saved this often at most; below half the lease
//	  retention: 7d                      # applied rows of the log are kept this long
//	  zombie: 24h                        # how long a worker whose end nobody saw may still write
//	  late: 15m                          # how long a request may still arrive after its sender gave up
//	  poll: false                        # true: no LISTEN (PgBouncer in transaction mode, PREPARE TRANSACTION)
//	  refuse_copy: false                 # true: fail in a copy of the database instead of feeding the same stores
//	  retry_first: 1m                    # after which what is parked is tried again first; it doubles each time in vain
//	  retry_most: 6h                     # the longest such pause
//	  park_limit: 1000                   # a backend pauses when it refused so many for one reason, and more than it took; or none
//	verify:                              # when backends are verified without being asked to; default: never
//	  every: 24h                         # how often
//	  from: 02:00                        # the window of the day in which it works; default: all day
//	  to: 05:00
//	  zone: Europe/Berlin                # whose clock that is; default: UTC
//	  repair: true                       # put what differs into the log again; default: false
//	  deep: false                        # compare what the store really holds, not only digests
//	  dangling: false                    # look for edges whose ends are missing; deep does so as well
//	  rate: 10000                        # records per second
//	console:                             # how workers are watched: see package console
//	  listen: 127.0.0.1:8317             # or off; any other than a loopback address needs credentials
//	  user: ops                          # none by default
//	  password: ${CONSOLE_PASSWORD}
//	  token: ${file:/run/secrets/token}  # a bearer token, instead or besides
//	kinds:
//	  file:                              # a kind of records
//	    table: ast.files                 # the table whose changes are logged
//	    key: path                        # a column, or a list of columns; default: the primary key
//	    per_row: false                   # true: row triggers, for tables that logical replication writes
//	    dependants:                      # kinds whose records change when this kind's do
//	      symbol: select id from ast.symbols where file = any($1)
//	  note: {}                           # without a table: its records are in outbox.records
//	  word:                              # or elsewhere: outbox.changed says what changes
//	    list: select word as key from app.words
//	backends:
//	  search:                            # a configured store
//	    type: postgres                   # a registered type of backend
//	    settings: {}                     # what the type asks for: addresses, credentials, limits. A backend of type
//	                                     # postgres that names no url is in the database above
//	    worker: {patience: 1m}           # lanes, batch_records, batch_bytes, patience, request, rate, in_turn and park_limit of this store alone
//	    verify: {every: 7d}              # where this store differs from verify above; off: never
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
// OUTFLOW_DATABASE, OUTFLOW_LOG_LEVEL, OUTFLOW_LOG_FORMAT, OUTFLOW_WORKER_LEASE and so on for each field of
// worker stand in for the file's values. DATABASE_URL is used when nothing else names a database, and then the
// variables that psql reads (PGHOST, PGSERVICE, ...).
//
// # Problems
//
// Everything that is wrong is reported at once, each with its line and column and what was expected, see
// Error. Secrets do not appear in errors, nor in what a Config prints or logs of itself.
package config
