// Package child runs servers as processes of this one: with the rights of an ordinary user even if this
// one runs as root, which servers refuse, apart from the terminal's signals, and, on Linux, never longer
// than this one.
package child
