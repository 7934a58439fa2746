package qdrant

import (
	"maps"
	"slices"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
)

// indexKind is a kind of payload index: what it is called on both ways of the wire.
type indexKind struct {
	schema pb.PayloadSchemaType
	field  pb.FieldType
}

var indexKinds = map[string]indexKind{
	"keyword":  {pb.PayloadSchemaType_Keyword, pb.FieldType_FieldTypeKeyword},
	"integer":  {pb.PayloadSchemaType_Integer, pb.FieldType_FieldTypeInteger},
	"float":    {pb.PayloadSchemaType_Float, pb.FieldType_FieldTypeFloat},
	"geo":      {pb.PayloadSchemaType_Geo, pb.FieldType_FieldTypeGeo},
	"text":     {pb.PayloadSchemaType_Text, pb.FieldType_FieldTypeText},
	"bool":     {pb.PayloadSchemaType_Bool, pb.FieldType_FieldTypeBool},
	"datetime": {pb.PayloadSchemaType_Datetime, pb.FieldType_FieldTypeDatetime},
	"uuid":     {pb.PayloadSchemaType_Uuid, pb.FieldType_FieldTypeUuid},
}

// fieldTypeOf is what asks for an index of a kind.
func fieldTypeOf(schema pb.PayloadSchemaType) pb.FieldType {
	for _, k := range indexKinds {
		if k.schema == schema {
			return k.field
		}
	}
	return pb.FieldType_FieldTypeKeyword
}

// readIndexes reads the indexes of the payload: a kind, or a map of its type and the server's own parameters.
func (r modelReader) readIndexes() {
	all := r.Values("indexes")
	for _, field := range slices.Sorted(maps.Keys(all)) {
		place := "indexes." + field
		values, isMap := all[field].(map[string]any)
		if !isMap {
			values = map[string]any{"type": all[field]}
		}
		text, _ := values["type"].(string)
		kind, ok := indexKinds[text]
		switch {
		case !ok:
			r.Fail(place, "must be one of "+strings.Join(slices.Sorted(maps.Keys(indexKinds)), ", ")+", or a map with such a type")
		case !slices.Contains(r.m.payload, top(field)):
			r.Fail(place, "is no field of the payload: have "+strings.Join(r.m.payload, ", "))
		default:
			info := &pb.PayloadSchemaInfo{DataType: kind.schema}
			if parameters := without(values, "type"); len(parameters) > 0 {
				info.Params = &pb.PayloadIndexParams{}
				r.decode(place, map[string]any{text + "_index_params": parameters}, info.Params)
			}
			r.m.indexes[field] = info
		}
	}
}

// top is the field of the payload that a path begins with.
func top(path string) string {
	if i := strings.IndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return path
}
