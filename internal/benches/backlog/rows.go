package backlog

import (
	"fmt"
	"time"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// rows compares the quarters of the drain.
func rows(calls []lab.Call, samples []sample, n int) []lab.Row {
	var marks [5]time.Time // when each quarter of the records was written
	marks[0] = calls[0].Start
	var rates [4]float64
	done := 0
	for _, c := range calls {
		before := done * 4 / n
		done += c.Records
		for q := before; q < min(done*4/n, 4); q++ {
			marks[q+1] = c.End
		}
	}
	for q := range rates {
		rates[q] = float64(n) / 4 / marks[q+1].Sub(marks[q]).Seconds()
	}
	resident, live := quarters(samples, marks)
	const mb = 1 << 20
	return []lab.Row{
		lab.AtLeast("backlog: rate of the last quarter against the first", rates[3]/rates[0], "x", 0.9).With(lab.Rounds(rates[:])),
		lab.Fact("backlog: rate", float64(n)/marks[4].Sub(marks[0]).Seconds(), "records/s").With(fmt.Sprintf("%d changes, a row of the log each", n)),
		lab.AtMost("backlog: memory in the last quarter against the first", resident[3]/resident[0], "x", 1.2).With("resident, medians"),
		lab.Fact("backlog: memory in the first quarter", resident[0]/mb, "MB"),
		lab.Fact("backlog: memory in the last quarter", resident[3]/mb, "MB"),
		lab.Fact("backlog: live heap in the first quarter", live[0]/mb, "MB"),
		lab.Fact("backlog: live heap in the last quarter", live[3]/mb, "MB"),
	}
}

// quarters takes the medians of the samples between the marks.
func quarters(samples []sample, marks [5]time.Time) (resident, live [4]float64) {
	for q := range resident {
		var rs, ls []float64
		for _, s := range samples {
			if !s.at.Before(marks[q]) && s.at.Before(marks[q+1]) {
				rs, ls = append(rs, float64(s.Resident)), append(ls, float64(s.Live))
			}
		}
		resident[q], live[q] = lab.Median(rs), lab.Median(ls)
	}
	return resident, live
}
