package jobs

// Runs says whether the engine works the backend.
func (e *Engine) Runs(backend string) bool { return e.runs(backend) }
