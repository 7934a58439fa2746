package drain

import (
	"time"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// rows reports what the rounds gave.
func rows(engine, loop []result) []lab.Row {
	rate := func(r result) float64 { return r.rate }
	flight := func(r result) float64 { return r.flight }
	of, to := each(engine, rate), each(loop, rate)
	ratios := lab.Ratios(of, to)
	return []lab.Row{
		lab.AtLeast("drain: engine against copy loop, rate", lab.Median(ratios), "x", 0.95).With(lab.Rounds(ratios)),
		lab.Fact("drain: engine", lab.Median(of), "records/s"),
		lab.Fact("drain: copy loop", lab.Median(to), "records/s"),
		lab.Fact("drain: engine, writes under way, mean", lab.Median(each(engine, flight)), ""),
		lab.Fact("drain: copy loop, writes under way, mean", lab.Median(each(loop, flight)), ""),
		lab.Fact("drain: engine, start to first write", lab.Millis(lab.Median(each(engine, start))), "ms"),
		lab.Fact("drain: engine, CPU of the worker", lab.Median(each(engine, worker)).Seconds(), "s"),
		lab.Fact("drain: copy loop, CPU of the worker", lab.Median(each(loop, worker)).Seconds(), "s"),
		lab.Fact("drain: engine, CPU of PostgreSQL, source and store", lab.Median(each(engine, server)).Seconds(), "s"),
		lab.Fact("drain: copy loop, CPU of PostgreSQL, source and store", lab.Median(each(loop, server)).Seconds(), "s"),
	}
}

func start(r result) time.Duration  { return r.start }
func worker(r result) time.Duration { return r.worker }
func server(r result) time.Duration { return r.server }

func each[T any](list []result, of func(result) T) []T {
	values := make([]T, len(list))
	for i, r := range list {
		values[i] = of(r)
	}
	return values
}
