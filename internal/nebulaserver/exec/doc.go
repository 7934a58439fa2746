// Package exec runs statements against a store, as graphd does with metad and storaged.
//
// [Run] works in graphd's two phases. First all statements of a request are planned: names and types are checked
// against the schema, and the first mistake refuses the request as a whole. Then the plans are carried out one by
// one; what the first ones did stays done when a later one fails.
package exec
