package main

// Guards against the ways in which others lose data (docs/proofs.md, Pitfalls), each with the tests that fail without it.
var pitfalls = []mutant{
	{name: "p1", what: "transactions that were running at the position are forgotten", edits: forgetRunning, tests: tests{
		"./outbox": "TestEveryRowIsDeliveredOnce",
	}},
	{name: "p2", what: "transactions that were running at the position are forgotten", edits: forgetRunning, tests: tests{
		"./jobs": "TestLastCommitWins",
	}},
	{name: "p3", what: "what comes after the oldest running transaction is not read", edits: []edit{
		{delta, "\n     and tx < pg_snapshot_xmax(coalesce($2, pg_current_snapshot()))\n", "\n     and tx < pg_snapshot_xmin(coalesce($2, pg_current_snapshot()))\n"},
	}, tests: tests{"./jobs": "TestLongTransactionDelaysItselfAlone"}},
	{name: "p4", what: "the position is saved before the page is written", edits: saveFirst, tests: tests{
		"./jobs": "TestPositionsFollowAnswers|TestEndBetweenWriteAndSave",
	}},
	{name: "p5", what: "an item without an error counts as written", edits: []edit{
		{"backends/elasticsearch/answer.go", "case a.Error == nil && a.Status >= 200 && a.Status < 300:", "case a.Error == nil:"},
	}, tests: tests{"./backends/elasticsearch": "TestMixesOfItems"}},
	{name: "p5-less", what: "an answer for fewer records counts for those that it has", edits: []edit{
		{"backends/elasticsearch/write.go", "if len(answer.Items) != len(places) {", "if places = places[:min(len(places), len(answer.Items))]; len(places) == 0 {"},
	}, tests: tests{"./backends/elasticsearch": "TestMixesOfItems"}},
	{name: "p6", what: "the read model takes any version", edits: anyVersion, tests: tests{
		"./backends/postgres": "TestConformance/permutations",
	}},
	{name: "p7", what: "nothing is suspected of an owner who did not let go", edits: []edit{
		{tenure, "	err = t.suspectDelta(ctx, db, formers, c.Zombie)\n", ""},
	}, tests: tests{"./outbox": "TestB8TakeoverSuspectsTheUnsavedDelta"}},
	{name: "p8", what: "whoever once held a lane goes on writing and saving", edits: noLease, tests: tests{
		"./outbox": "TestLive|TestPageOfALostLaneIsRefused|TestSplitWaitsForTheOwner", "./jobs": "TestNothingIsSentWithoutLease",
	}},
	{name: "p9", what: "a fill is applied before its keys are in the log", edits: []edit{
		{flight, "	if err := w.follow(ctx, f.page); err != nil {\n		return err\n	}\n	w.complete(f)\n	return nil", "	w.complete(f)\n	return w.follow(ctx, f.page)"},
	}, tests: tests{"./jobs": "TestFillDiesInEachStep"}},
	{name: "p9-store", what: "a fill leaves what only the store has", edits: []edit{
		{"jobs/follow.go", "if err := w.patiently(ctx, \"scan\", func(ctx context.Context) error { return w.scan(ctx, p, cause) }); err != nil {", "if err := ctx.Err(); p == nil || err != nil {"},
	}, tests: tests{"./jobs": "TestFillDiesInEachStep"}},
	{name: "p10", what: "readers are moved while tenures write both generations", edits: []edit{
		{rebuildStep, "	if err := r.fence(ctx); err != nil {\n		return err\n	}\n	at, err", "	at, err"},
	}, tests: tests{"./jobs": "TestSwitchWaitsForTenuresOfBothGenerations"}},
	{name: "p10-parked", what: "readers are moved to a generation that has refused records", edits: []edit{
		{rebuildStep, "func (r *rebuild) ready(ctx context.Context, g stage) (time.Duration, error) {\n	if g.parked > 0 {", "func (r *rebuild) ready(ctx context.Context, g stage) (time.Duration, error) {\n	if g.parked < 0 {"},
		{rebuildStep, "and phase = 'ready' and building = $4\n   and not exists (select from outbox.parked k where", "and phase = 'ready' and building = $4\n   and not exists (select from outbox.parked k where false and"},
		lateLook,
	}, tests: tests{"./jobs": "TestSwitchUnderLoadWithAPoisonedKey|TestSwitchIsPutOffForAPoisonedKey"}},
	{name: "p10-late", what: "what is refused while the switch begins is not looked at", edits: []edit{lateLook}, tests: tests{
		"./jobs": "TestSwitchIsPutOffForAPoisonedKey",
	}},
	{name: "p11", what: "a repair logs nothing", edits: []edit{
		{"jobs/settle.go", "if err := outbox.RelogFor(ctx, v.c.Pool, outbox.Repair, v.s.name, v.p.Kind, keys, outbox.Cause{}); err != nil {", "if err := ctx.Err(); err != nil {"},
	}, tests: tests{"./jobs": "TestVerifyAndRepair", "./integration/faults": "TestDrift/.*"}},
	{name: "p13", what: "a refused record is tried again like any other", edits: []edit{
		{"jobs/backoff.go", "	case backends.Rejected:\n		return park", "	case backends.Rejected:\n		return again"},
	}, tests: tests{"./jobs": "TestPark"}},
	{name: "p14", what: "a look walks over the whole log", edits: []edit{
		{pending, "or (select id from outbox.log where tx >= pg_snapshot_xmax($1) and", "or (select id from outbox.log where tx >= '0'::xid8 and not pg_visible_in_snapshot(tx, $1) and"},
	}, tests: tests{"./outbox": "TestPagesBesideAHeldSnapshot|TestPagesAndLooksReadTheIndexOnly"}},
	{name: "p15", what: "records are read with the settings of the session", edits: []edit{
		{reader, "set_config('timezone', 'UTC', true) || set_config('datestyle', 'ISO, YMD', true) || ", ""},
	}, tests: tests{"./outbox": "TestStateHasFixedSettings"}},
}
