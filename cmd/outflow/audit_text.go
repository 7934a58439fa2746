package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outflow-db/outflow/outbox"
)

const stamp = "2006-01-02 15:04:05.000"

// entry is one thing that happened, with what followed from it.
type entry struct {
	at    time.Time
	lines []string
}

// trailText is the history of a record in words, the oldest first, times in UTC.
func trailText(t trailJSON) string {
	var all []entry
	for _, c := range t.Changes {
		all = append(all, changeEntry(c))
	}
	for _, e := range t.Events {
		all = append(all, eventEntry(e))
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s of kind %s: %s, %s\n", t.Key, t.Kind, counted(int64(len(t.Changes)), "change"), counted(int64(len(t.Events)), "event"))
	for _, e := range all {
		for i, line := range e.lines {
			head := strings.Repeat(" ", len(stamp))
			if i == 0 {
				head = e.at.UTC().Format(stamp)
			}
			fmt.Fprintf(&b, "%s  %s\n", head, line)
		}
	}
	head := "now" + strings.Repeat(" ", len(stamp)-len("now"))
	for _, p := range t.Parked {
		fmt.Fprintf(&b, "%s  parked by %s since %s, refused %s: %s\n", head, p.Backend, p.First.UTC().Format(stamp), counted(int64(p.Attempts), "time"), inLine(p.Error))
		head = strings.Repeat(" ", len(stamp))
	}
	for _, h := range t.Holdings {
		text := "holds nothing of it"
		switch {
		case h.Problem != "":
			text = "cannot tell: " + inLine(h.Problem)
		case h.Held:
			text = fmt.Sprintf("holds version %d, content %.12s", h.Version, h.Digest)
		}
		fmt.Fprintf(&b, "%s  %s/%s %s\n", head, h.Backend, h.Target, text)
		head = strings.Repeat(" ", len(stamp))
	}
	return b.String()
}

// reasons tell why the engine put a record into the log.
var reasons = map[outbox.Why]string{
	outbox.Fill:      "logged again to fill the backend",
	outbox.Rebuild:   "logged again for a rebuild",
	outbox.Repair:    "logged again as a repair: verify found a difference",
	outbox.Retry:     "logged again because it was parked",
	outbox.Doubt:     "logged again because a stopped worker or a lost request may have written it",
	outbox.LeaseLost: "logged again because it may have been written after the lane was lost",
	outbox.EveryKey:  "logged again with every key of its kind",
	outbox.Dependant: "logged because it is made from what changed",
	outbox.Reversed:  "restored by the reversal of %v",
}

// changeEntry tells of a change, and of what each backend made of it.
func changeEntry(c outbox.Change) entry {
	text := "changed"
	if c.All {
		text = "every key of the kind was logged"
	}
	if r, known := reasons[c.Why]; known {
		if text = r; c.Why == outbox.Reversed {
			text = fmt.Sprintf(r, c.Headers["reverts"])
		}
	} else if c.Why != "" {
		text = "logged again: " + string(c.Why)
	}
	text += fmt.Sprintf(" in transaction %d", c.Transaction)
	if c.Who != "" {
		text += " by " + c.Who
	}
	if c.App != "" {
		text += " (" + c.App + ")"
	}
	if c.Only != "" {
		text += ", for " + c.Only
	}
	if c.Load != "" {
		text += ", load " + c.Load
	}
	if c.Trace != "" {
		text += ", trace " + c.Trace
	}
	switch {
	case c.CauseTo == 0:
	case c.CauseFrom == c.CauseTo:
		text += fmt.Sprintf(", following from transaction %d", c.CauseTo)
	default:
		text += fmt.Sprintf(", following from transactions %d to %d", c.CauseFrom, c.CauseTo)
	}
	e := entry{c.At, []string{text}}
	for _, d := range c.Deliveries {
		e.lines = append(e.lines, "  "+deliveryText(c, d))
	}
	if len(c.Deliveries) == 0 {
		e.lines = append(e.lines, "  no backend projects the kind")
	}
	return e
}

// states tell what a backend made of a change.
var states = map[string]string{
	outbox.Waiting:  "waits for it",
	outbox.Written:  "wrote it",
	outbox.Gone:     "deleted it",
	outbox.Refusal:  "refused it, and it was parked",
	outbox.Outdone:  "had a newer version",
	outbox.Relogged: "logged each of its keys",
	outbox.Either:   "applied it",
	outbox.Untraced: "has it behind it, without a trace: before it was added, or longer ago than pages are kept",
}

func deliveryText(c outbox.Change, d outbox.Delivery) string {
	text := d.Backend + " " + states[d.State]
	p := d.Page
	if p == nil {
		return text
	}
	text += fmt.Sprintf(" %s later, acknowledged by %s with page %d of lane %d", span(max(0, p.SavedAt.Sub(c.At))), p.Owner, p.ID, p.Lane)
	switch p.From {
	case 0:
	case p.To:
		text += fmt.Sprintf(", version %d", p.To)
	default:
		text += fmt.Sprintf(", versions %d to %d", p.From, p.To)
	}
	if d.Error != "" {
		text += ": " + inLine(d.Error)
	}
	return text
}

// eventEntry tells of what was done to a record, its kind or its backend.
func eventEntry(e outbox.Event) entry {
	text := "all of it"
	switch {
	case e.Key != "":
		text = "the record"
	case e.Kind != "":
		text = "the kind"
	}
	if e.Backend != "" {
		if text == "all of it" {
			text = e.Backend
		} else {
			text += " in " + e.Backend
		}
	}
	text += ": " + e.What + " by " + e.Who
	if e.Reason != "" {
		text += ": " + inLine(e.Reason)
	}
	return entry{e.At, []string{text}}
}
