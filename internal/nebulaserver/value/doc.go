// Package value is what NebulaGraph computes with: its values, their order, their text and their form on
// the wire.
//
// A value is an any that holds one of
//
//	nil                       EMPTY: there is nothing, not even NULL
//	Null                      NULL and its bad kinds
//	bool int64 float64 string
//	nebula.Date nebula.Time nebula.DateTime nebula.Duration
//	Geography
//	List Set Map
//	*Vertex *Edge
//
// and nothing else. Values are not changed once they are made.
package value
