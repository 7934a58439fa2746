package qdrantserver

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The server's texts.

func notFound(collection string) error {
	return status.Errorf(codes.NotFound, "Not found: Collection `%s` doesn't exist!", collection)
}

func noPoint(id pointID) error {
	return status.Errorf(codes.NotFound, "Not found: No point with id %s found", id)
}

func exists(collection string) error {
	return status.Errorf(codes.AlreadyExists, "Wrong input: Collection `%s` already exists!", collection)
}

func badInput(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, "Wrong input: "+fmt.Sprintf(format, args...))
}

func badRequest(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, "Bad request: "+fmt.Sprintf(format, args...))
}

// malformed is a request that the server cannot take apart.
func malformed(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func invalid(field, problem string) error {
	return status.Errorf(codes.InvalidArgument, "Validation error in body: [%s: %s]", field, problem)
}

func wrongDimension(want uint64, got int) error {
	return badInput("Vector dimension error: expected dim: %d, got %d", want, got)
}

func noVector(name string) error {
	return badInput("Not existing vector name error: %s", name)
}

func missing(what string) error {
	return status.Errorf(codes.Unimplemented, "the stand-in has no %s", what)
}

func notFoundAlias(alias string) error {
	return status.Errorf(codes.NotFound, "Not found: Alias %s does not exists!", alias)
}
