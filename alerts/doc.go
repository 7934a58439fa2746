// Package alerts tells operators of what needs them: once, to the right place, and again when it is over.
//
// # How it goes
//
// Every process that runs an engine tries to look every Settings.Every; a row lock in the database lets one do it, and
// the time in that row keeps the others from doing it again at once. Who looks gathers facts (Gather), finds what is
// wrong (Find), and takes the alerts a step on (Next). All of this, the alerts' new state, the events and the River jobs
// that deliver messages are one transaction: a process that dies leaves everything or nothing. A job is delivered at
// least once; its message has an id by which a receiver knows one that came twice.
//
// # What becomes of an alert
//
// It is identified by its rule, and the backend and kind that it concerns. It is pending while its condition holds for
// less than the rule asks; then it fires. It is resolved when the condition has not held for Settings.Clear. Messages
// wait for Settings.Group, so that what fails together comes in one; a reminder comes every Settings.Remind. An alert
// that follows from another, as a lag does from a store that is down, is kept and shown and not told.
//
// Finding and the steps are pure: no I/O and no clock.
package alerts
