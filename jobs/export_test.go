package jobs

// CallAgain is how often the keeper calls for a lane.
const CallAgain = callAgain

// Runs says whether the engine works the backend.
func (e *Engine) Runs(backend string) bool { return e.runs(backend) }
