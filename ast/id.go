package ast

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined with it; nothing here is a secret
	"strconv"

	"github.com/google/uuid"
)

var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/outflow-db/outflow/ast"))

// FileID is the id of a file.
func FileID(repository, path string) uuid.UUID {
	return newID(namespace, repository, path)
}

// SymbolID is the id of the symbol of a file.
func SymbolID(file uuid.UUID, kind, qualified string, ordinal int) uuid.UUID {
	if ordinal == 0 {
		return newID(file, kind, qualified)
	}
	return newID(file, kind, qualified, strconv.Itoa(ordinal))
}

// newID is UUIDv5 of the parts joined by NUL, which none of them contains.
func newID(space uuid.UUID, parts ...string) uuid.UUID {
	name := make([]byte, 0, 256)
	name = append(name, space[:]...)
	for i, p := range parts {
		if i > 0 {
			name = append(name, 0)
		}
		name = append(name, p...)
	}
	sum := sha1.Sum(name) //nolint:gosec // see above
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x50 // version 5
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id
}

// id is the id of what the reference names, seen from a file.
func (r Ref) id(from *SourceFile, file uuid.UUID) uuid.UUID {
	if !r.local() {
		repository, path := r.Repository, r.Path
		if repository == "" {
			repository = from.Repository
		}
		file = FileID(repository, path)
	}
	if r.isFile() {
		return file
	}
	return SymbolID(file, r.Kind, r.Qualified, r.Ordinal)
}
