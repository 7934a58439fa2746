// Package eval computes nGQL expressions: [Eval] their values, [TypeOf] their types before there are values,
// [Aggregate] what becomes of a group. What names mean is the statement's to say, through a [Scope] or [Types].
//
// A failure is a value, too: one of the bad NULLs, which goes through everything above it as it does in graphd.
package eval
