package backends

import (
	"errors"
	"strings"
)

// Class says what kind of failure an error is. Each class has one behaviour of the engine and one advice
// for the operator.
type Class string

// The classes.
const (
	Transient Class = "transient" // will pass by itself: retried with backoff
	Overload  Class = "overload"  // the store asks for less: retried slower, in smaller batches
	Unknown   Class = "unknown"   // the answer was lost: sent again, and once more later
	Rejected  Class = "rejected"  // refused for good: the record is parked
	Schema    Class = "schema"    // the target is missing or differs: prepared again once, then the backend pauses
	Denied    Class = "denied"    // not allowed: the backend pauses
)

// Advice is what an operator should do about a failure of this class when nothing more exact is known.
func (c Class) Advice() string {
	switch c {
	case Transient:
		return "nothing to do: it is retried until the store is back; if it lasts, look at the store and the network"
	case Overload:
		return "nothing to do: batches get smaller and slower; if it lasts, give the store more memory or nodes"
	case Unknown:
		return "nothing to do: the write is sent again; if it lasts, look for timeouts between here and the store"
	case Rejected:
		return "mend the row or the projection: the record is written again with its next change, or by a retry"
	case Schema:
		return "compare the target's settings with the store; the backend stays paused until they agree"
	case Denied:
		return "check the credentials and the rights they carry; the backend stays paused until then"
	default:
		return ""
	}
}

// Error is a failure that says what failed, where, and what to do.
type Error struct {
	Op      string // what was being done: "write", "prepare"
	Backend string // the backend's name
	Kind    string // the kind, if it concerns one
	Key     string // the key, if it concerns one
	Class   Class
	Advice  string // empty: the class's own
	Err     error  // the cause
}

// Error is one line: op, backend, kind, key, class, cause and advice.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	for _, p := range [][2]string{{"backend", e.Backend}, {"kind", e.Kind}, {"key", e.Key}} {
		if p[1] != "" {
			b.WriteString(" " + p[0] + " " + p[1])
		}
	}
	b.WriteString(": " + string(e.Class))
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if a := e.What(); a != "" {
		b.WriteString(" (" + a + ")")
	}
	return b.String()
}

// What is what to do about it: the advice of the error, else that of its class.
func (e *Error) What() string {
	if e.Advice != "" {
		return e.Advice
	}
	return e.Class.Advice()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf is the class of err: that of the *Error in its chain, else Unknown, because an error that nobody
// classified says nothing about what the store did.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Unknown
}

// AsError is err as an *Error, made one of class Unknown if it is none.
func AsError(op, backend string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Op: op, Backend: backend, Class: Unknown, Err: err}
}
