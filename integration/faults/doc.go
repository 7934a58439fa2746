// Package faults makes things go wrong on purpose, and measures how long it takes until all is well again.
//
// A [Proxy] is a TCP proxy that misbehaves on request. A [Lab] is a database with writers at work, workers that project
// it, and the stores that they project into, with a proxy before each. A [Scenario] is one fault: what it does to which
// part of a lab, and what is expected. [Scenarios] lists all of them; tests, the random scheduler of integration/chaos and
// the table in docs/faults.md use the same list.
//
// A worker is a process of the same program: main functions, and TestMain, call [Worker] first.
package faults
