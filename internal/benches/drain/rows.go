package drain

import (
	"time"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// rows reports what the rounds gave.
func rows(bench string, engine, loop []result, single result) []lab.Row {
	rate := func(r result) float64 { return r.rate }
	flight := func(r result) float64 { return r.flight }
	of, to := each(engine, rate), each(loop, rate)
	ratios := lab.Ratios(of, to)
	return []lab.Row{
		lab.AtLeast(bench+": engine against copy loop, rate", lab.Median(ratios), "x", 0.95).With(lab.Rounds(ratios)),
		lab.AtLeast(bench+": engine against single writes, two at once, rate", lab.Median(of)/single.rate, "x", 1.7),
		lab.AtMost(bench+": engine, write of a batch, mean", lab.Millis(lab.Median(each(engine, func(r result) time.Duration { return r.write }))), "ms", 200),
		lab.Fact(bench+": engine", lab.Median(of), "records/s"),
		lab.Fact(bench+": copy loop", lab.Median(to), "records/s"),
		lab.Fact(bench+": engine, writes under way, mean", lab.Median(each(engine, flight)), ""),
		lab.Fact(bench+": copy loop, writes under way, mean", lab.Median(each(loop, flight)), ""),
		lab.Fact(bench+": engine, start to first write", lab.Millis(lab.Median(each(engine, start))), "ms"),
		lab.Fact(bench+": engine, CPU of the worker", lab.Median(each(engine, worker)).Seconds(), "s"),
		lab.Fact(bench+": copy loop, CPU of the worker", lab.Median(each(loop, worker)).Seconds(), "s"),
		lab.Fact(bench+": engine, CPU over that of the copy loop, worker and PostgreSQL, 100,000 records", lab.Median(of100k(engine))-lab.Median(of100k(loop)), "s"),
		lab.Fact(bench+": engine, CPU of PostgreSQL, source and store", lab.Median(each(engine, server)).Seconds(), "s"),
		lab.Fact(bench+": copy loop, CPU of PostgreSQL, source and store", lab.Median(each(loop, server)).Seconds(), "s"),
	}
}

// of100k is the processor time of each round for so many records.
func of100k(list []result) []float64 {
	return each(list, func(r result) float64 { return (r.worker + r.server).Seconds() * 100_000 / float64(max(r.records, 1)) })
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
