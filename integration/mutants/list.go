package main

import "strings"

// Files that are mutated.
const (
	tenure  = "outbox/tenure.go"
	save    = "outbox/save.go"
	reader  = "outbox/reader.go"
	delta   = "migrations/00027_outbox_few.sql"
	pending = "migrations/00009_outbox_log.sql"
	flight  = "jobs/flight.go"
	writer  = "jobs/writer.go"
	batch   = "backends/postgres/batch.go"

	rebuildStep = "jobs/rebuild_step.go"
	bulk        = "backends/elasticsearch/bulk.go"

	running = "pg_visible_in_snapshot(x, coalesce($2, pg_current_snapshot())) and x >= $3 order by x) x\n      cross join" // how outbox.delta looks for it
)

// Edits that several mutants have.
var (
	noLease = []edit{
		{tenure, "return t.deadline.age() < t.ttl-t.ttl/8", "return true"},
		{save, "where backend = $1 and lane = $2 and epoch = $3 and (` + markSQL + `) = $11", "where backend = $1 and lane = $2 and $3::bigint > 0 and (` + markSQL + `) = $11"},
		{save, "where backend = $1 and lane = $2 and epoch = $3 and (`+markSQL+`) = $5", "where backend = $1 and lane = $2 and $3::bigint > 0 and (`+markSQL+`) = $5"},
	}
	anyVersion = []edit{{batch, "where t.version <= excluded.version", "where true"}}
	saveFirst  = []edit{{
		flight, "	for _, r := range p.records {\n		if err := w.planned(w.within(ctx, f), f, p, r); err != nil {",
		"	if p.last {\n		w.complete(f)\n		if err := w.save(ctx, 0); err != nil {\n			return err\n		}\n	}\n" +
			"	for _, r := range p.records {\n		if err := w.planned(w.within(ctx, f), f, p, r); err != nil {",
	}}
	lateLook      = edit{rebuildStep, "and (passing is not null or not exists (select from outbox.parked k where", "and (passing is not null or not exists (select from outbox.parked k where false and"}
	forgetRunning = []edit{{delta, running, strings.Replace(running, "pg_visible_in_snapshot(x, coalesce($2, pg_current_snapshot()))", "false", 1)}}
)

// mutants are the guards that the torture is about. The first removes none: the torture must pass.
var mutants = []mutant{
	{name: "none", what: "nothing is removed"},
	{
		name: "lease", what: "whoever once held a lane goes on writing and saving",
		edits: noLease,
	},
	{
		name: "version", what: "the read model takes any version",
		edits: anyVersion,
	},
	{
		name: "search", what: "Elasticsearch takes any version",
		edits: []edit{{
			bulk, "	body = append(body, `,\"version\":`...)\n	body = strconv.AppendInt(body, r.Version, 10)\n	body = append(body, `,\"version_type\":\"external_gte\"}}`...)\n",
			"	_ = strconv.Itoa\n	body = append(body, `}}`...)\n",
		}},
		tests: tests{"./integration/torture": "TestTortureElasticsearch"},
	},
	{
		name: "save", what: "the position is saved before the page is written",
		edits: saveFirst,
	},
	{
		name: "target", what: "a delta that is left half read goes on with what is visible then",
		edits: []edit{
			{delta, running, strings.Replace(running, "coalesce($2, pg_current_snapshot())", "pg_current_snapshot()", 1)},
			{delta, "\n     and pg_visible_in_snapshot(tx, coalesce($2, pg_current_snapshot())) and", "\n     and"},
		},
	},
	{
		name: "moving", what: "a delta that is left half read gets a new target",
		edits: []edit{
			{reader, "		l, rows, err := r.rows(ctx, conn, pos, limit, questions)", "		pos.Target = Snapshot{}\n		l, rows, err := r.rows(ctx, conn, pos, limit, questions)"},
		},
	},
	{
		name: "lock", what: "tables are not held before the snapshot",
		edits: []edit{{reader, "	if len(sources) > 0 {", "	if len(sources) < 0 {"}},
	},
	{
		name: "xip", what: "transactions that were running at the position are forgotten",
		edits: forgetRunning,
	},
	{
		name: "on-reject", what: "the position is saved before a refused write's reversal is asked for",
		edits: []edit{
			{writer, "	if err := w.askReverts(ctx); err != nil { // before the position: it says that this was done\n		return err\n	}\n	o :=", "	o :="},
			{writer, "	clear(w.outcome)\n", "	if err := w.askReverts(ctx); err != nil {\n		return err\n	}\n	clear(w.outcome)\n"},
		},
		tests: tests{"./jobs": "TestRevertIsAskedForBeforeThePositionMoves"},
	},
	{
		name: "on-reject-late", what: "what a refused load writes later stays",
		edits: []edit{{writer, "	w.late(f.page)\n", ""}},
		tests: tests{"./jobs": "TestRejectedLoadIsReverted"},
	},
}
