// Package nebula projects into NebulaGraph 3: a kind becomes vertices of a tag, or edges of a type, with a property for
// each column. Which vertex or edge a record is follows from its key alone.
//
// It registers as "nebula". What it promises, its settings and what its errors mean: docs/nebula.md.
//
// Statements go over sessions of its own, see pool: nebula-go's pools run a statement a second time when they have
// lost the answer to the first. Package ngql writes the statements.
package nebula
