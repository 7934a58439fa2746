package qdrant

import (
	"maps"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outflow-db/outflow/backends"
)

func init() {
	backends.Describe(Type, backends.Settings{Backend: describeBackend(), Target: describeTarget()})
}

func described(about string) backends.Setting {
	return backends.Setting{Shape: backends.Text, About: about}
}

func describeBackend() map[string]backends.Setting {
	return map[string]backends.Setting{
		"addresses": backends.ListOf("The gRPC addresses of nodes. Default: 127.0.0.1:6334.", backends.Setting{
			Shape: backends.Text, Pattern: `^[^/@ ?#]+$`, Want: "the gRPC address of a node, such as vectors-1:6334; TLS is switched on by the setting tls",
		}),
		"api_key":       described("Sent with every request."),
		"prefix":        described("What the names of all collections and aliases begin with."),
		"requests":      {Shape: backends.Whole, Least: 1, Most: 64, About: "Writes of one lane under way at once. Default: 2."},
		"keepalive":     {Shape: backends.Span, AtLeast: time.Second, About: "How often an idle connection is looked at. Default: 10s."},
		"receive_bytes": {Shape: backends.Whole, Least: 1 << 20, Most: 1 << 30, About: "The largest answer that is taken. Default: 67108864."},
		"tls":           backends.TLS(nil),
	}
}

func describeTarget() map[string]backends.Setting {
	served := fieldsOf((&pb.CreateCollection{}).ProtoReflect().Descriptor())
	all := map[string]backends.Setting{
		"vectors":        backends.NamesOf("Vectors by name. Default: every column that can be one.", describeVector()),
		"sparse":         backends.NamesOf("Sparse vectors by name.", describeSparse()),
		"indexes":        backends.NamesOf("Indexes of the payload by field.", describeIndex()),
		"id":             {Shape: backends.Text, Words: []string{"uuid5", "key"}, About: "What the id of a point is; key: the key itself. Default: uuid5."},
		"resend_vectors": {Shape: backends.Flag, About: "False: a change of the payload alone does not send the vectors. Default: true."},
	}
	for _, name := range slices.Concat(countSettings, serverSettings, []string{"on_disk_payload"}) {
		s := served[name]
		s.About = "As in Qdrant."
		if slices.Contains(countSettings, name) {
			s.Least, s.Most = 1, mostCount
		}
		all[name] = s
	}
	return all
}

func describeVector() backends.Setting {
	fields := fieldsOf((&pb.VectorParams{}).ProtoReflect().Descriptor())
	fields["column"] = described("The column. Default: the name of the vector.")
	return backends.Setting{Shape: backends.Mapping, Fields: fields, About: "A vector; the fields but column have Qdrant's own names."}
}

func describeSparse() backends.Setting {
	fields := fieldsOf((&pb.SparseVectorParams{}).ProtoReflect().Descriptor())
	fields["indices"] = described("A column of type integer[] or bigint[].")
	fields["values"] = described("A column of type real[].")
	fields["column"] = described("One column of type sparsevec instead of both.")
	return backends.Setting{Shape: backends.Mapping, Fields: fields, About: "A sparse vector; modifier and index are Qdrant's own."}
}

// describeIndex is a kind of index, or a mapping with its type and every parameter that some kind has.
func describeIndex() backends.Setting {
	kind := backends.Setting{Shape: backends.Text, Words: slices.Sorted(maps.Keys(indexKinds)), About: "What is indexed."}
	fields := map[string]backends.Setting{}
	parameters := (&pb.PayloadIndexParams{}).ProtoReflect().Descriptor().Fields()
	for i := range parameters.Len() {
		maps.Copy(fields, fieldsOf(parameters.Get(i).Message()))
	}
	fields["type"] = kind
	either := kind
	either.Or = &backends.Setting{Shape: backends.Mapping, Fields: fields, Required: []string{"type"}, Want: "a mapping with such a type"}
	return either
}

// fieldsOf are the fields of one of the server's messages, by their own names.
func fieldsOf(message protoreflect.MessageDescriptor) map[string]backends.Setting {
	fields := map[string]backends.Setting{}
	for i := range message.Fields().Len() {
		f := message.Fields().Get(i)
		s := settingOf(f)
		switch {
		case f.IsMap():
			s = backends.NamesOf("", settingOf(f.MapValue()))
		case f.IsList():
			s = backends.ListOf("", s)
		}
		fields[string(f.Name())] = s
	}
	return fields
}

// settingOf is one value of a field.
func settingOf(f protoreflect.FieldDescriptor) backends.Setting {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return backends.Setting{Shape: backends.Flag}
	case protoreflect.EnumKind:
		s := backends.Setting{Shape: backends.Text}
		for i := range f.Enum().Values().Len() {
			s.Words = append(s.Words, string(f.Enum().Values().Get(i).Name()))
		}
		return s
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return backends.Setting{Shape: backends.Number}
	case protoreflect.StringKind, protoreflect.BytesKind:
		return backends.Setting{Shape: backends.Text}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if f.Message().Name() == "Value" { // any JSON, which holds itself
			return backends.Setting{}
		}
		return backends.Setting{Shape: backends.Mapping, Fields: fieldsOf(f.Message())}
	default:
		return backends.Setting{Shape: backends.Whole, Most: 1 << 53}
	}
}
