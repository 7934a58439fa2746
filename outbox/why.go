package outbox

// Why says why the engine itself put keys into the log; it is the header why of such rows.
type Why string

// The reasons there are. Rows of older versions say less.
const (
	Fill      Why = "fill"      // the backend or its projection is new, or its store has lost a target
	Rebuild   Why = "rebuild"   // an operator asked for it
	Repair    Why = "repair"    // verify found a difference
	Retry     Why = "retry"     // it was parked
	Doubt     Why = "suspect"   // a stopped worker or a lost request may have written it
	LeaseLost Why = "lost"      // it may have been written after the lane was lost
	EveryKey  Why = "every key" // every key of its kind was concerned
	Dependant Why = "dependant" // it is made from what changed
	Reversed  Why = "revert"    // a transaction was reverted; this one is for all backends
)

// whyOf reads the reason off the headers of a row that is for one backend only, and that may have a cause.
func whyOf(headers map[string]any, only, caused bool) Why {
	why, _ := headers["why"].(string)
	_, reverts := headers["reverts"]
	switch {
	case !only && reverts:
		return Reversed
	case !only:
		return ""
	case why != "":
		return Why(why)
	case headers["suspect"] == true:
		return Doubt
	case headers["retry"] == true:
		return Retry
	case headers["all"] == true:
		return Fill
	case caused:
		return Dependant
	default:
		return Repair
	}
}
