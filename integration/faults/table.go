package faults

import (
	"fmt"
	"strings"
	"time"

	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/backends/qdrant"
)

// Test is the name of the test that makes the fault, in this package; empty: integration/chaos alone makes it.
func (s Scenario) Test() string {
	switch {
	case s.Sort == Restore:
		return "TestRestores"
	case s.Part == elasticsearch.Type && s.Needs&OwnServer != 0 && s.Name != "clean restart":
		return "TestEngineElasticsearchKilled"
	case s.Part == elasticsearch.Type && s.Slow:
		return ""
	case s.Slow:
		return "TestDeniedForAWhile"
	}
	return map[string]string{
		Source: "TestSourceFaults", Workers: "TestWorkerFaults", postgres.Type: "TestReadModelFaults", elasticsearch.Type: "TestElasticsearchFaults",
		qdrant.Type: "TestQdrantFaults", nebula.Type: "TestNebulaFaults",
	}[s.Part]
}

// titles are what parts are called for people.
var titles = map[string]string{
	Source: "PostgreSQL, and the network to it", Workers: "Workers and their jobs", postgres.Type: "Read model in PostgreSQL",
	elasticsearch.Type: "Elasticsearch", qdrant.Type: "Qdrant", nebula.Type: "NebulaGraph", Loads: "Loads",
}

// Table is the table of all faults in Markdown: those of the scenarios with their figures, and those whose tests are
// elsewhere.
func Table(results []Result) string {
	figures := map[string][]Result{}
	for _, r := range results {
		figures[r.Scenario.ID()] = append(figures[r.Scenario.ID()], r)
	}
	var b strings.Builder
	for _, part := range append(Parts(), Loads) {
		fmt.Fprintf(&b, "\n### %s\n\n", titles[part])
		b.WriteString("| fault | what happens | made | p50 | max | lost | test |\n|---|---|---|---|---|---|---|\n")
		for _, s := range Scenarios() {
			if s.Part == part {
				b.WriteString(row(s, figures[s.ID()]))
			}
		}
		for _, e := range elsewhere {
			if e.part == part {
				fmt.Fprintf(&b, "| %s | %s | | | | 0 | `%s` (`%s`) |\n", e.name, e.expect, e.test, e.in)
			}
		}
	}
	return b.String() + "\n"
}

// row is the row of a scenario.
func row(s Scenario, results []Result) string {
	d := Distribute(Times(results))
	lost := 0
	for _, r := range results {
		lost += r.Lost
	}
	if d.N == 0 {
		return fmt.Sprintf("| %s | %s | | | | | %s |\n", s.Name, s.Expect, s.tested())
	}
	return fmt.Sprintf("| %s | %s | %d | %s | %s | %d | %s |\n", s.Name, s.Expect, d.N, seconds(d.P50), seconds(d.Most), lost, s.tested())
}

// tested is how the fault is tested, as the table says it.
func (s Scenario) tested() string {
	if s.Test() == "" {
		return "`integration/chaos -each 1 -elasticsearch` only"
	}
	return "`" + s.Test() + "`"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Loads is the part of loads of source code, which have no scenario: their tests are elsewhere.
const Loads = "loads"

// other is a fault whose test is in another package.
type other struct{ part, name, expect, in, test string }

// elsewhere are faults that one process or one call shows better than a lab.
var elsewhere = []other{
	{Source, "workers behind PgBouncer in transaction mode (`poll`)", "they look every second instead of being notified", "jobs", "TestPoll"},
	{Source, "too few connections for all lanes", "lanes wait for their turn", "jobs", "TestFewConnections"},
	{Source, "a standby", "workers refuse to run there", "jobs", "TestStandbyIsRefused"},
	{Source, "a copy that must not feed the original's stores", "refused, where so configured", "jobs", "TestRefuseCopy"},
	{Source, "a save that a crash loses", "the page is applied again", "outbox", "TestCrashes"},
	{Source, "row-level security hides rows from the worker", "an error, and no deletes", "jobs", "TestHiddenRowsAreNotDeletedRows"},
	{Source, "a query that fails for some keys", "those are parked, the others arrive", "jobs", "TestPoisonousQuery"},
	{Workers, "a backend panics", "the request's outcome is unknown: sent again; the process goes on", "jobs", "TestPanickingBackend"},
	{Workers, "a store's client that never returns", "its call ends by the time limit", "jobs", "TestNoCallLastsForEver"},
	{Workers, "two processes, the same lane", "one of them works it", "jobs", "TestJobForHeldLane"},
	{Workers, "stopped in the middle of a send, woken when the lane is another's", "what it sends late is mended", "integration/faults", "TestZombies"},
	{Workers, "a process with another configuration", "it leaves the backend alone", "jobs", "TestOutdatedProcess"},
	{Workers, "killed during a rebuild beside", "another goes on where it was", "jobs", "TestRebuildSurvivesItsProcesses"},
	{Workers, "stopped while a store hangs (SIGTERM)", "its requests are cut after the grace, and suspect", "jobs", "TestStopCutsRequests"},
	{postgres.Type, "one record refused", "it is parked with its reason, and blocks nothing", "jobs", "TestPark"},
	{elasticsearch.Type, "mapping conflict of one record", "it is parked with its reason, and blocks nothing", "backends/elasticsearch", "TestOneOfManyRefused"},
	{elasticsearch.Type, "stands still and down for 20 s each", "all arrives afterwards", "integration/faults", "TestEngineElasticsearchKilled"},
	{elasticsearch.Type, "one of several nodes down", "requests go to another", "backends/elasticsearch", "TestFailover"},
	{elasticsearch.Type, "something else answers at its address", "class denied: the backend pauses and says so", "backends/elasticsearch", "TestNotElasticsearch"},
	{Loads, "killed in the middle, again and again (SIGKILL)", "started again, it ends as one that was left alone", "cmd/outflow", "TestKilledLoad"},
}
