package qdrant

import (
	"errors"
	"strconv"
	"unicode/utf8"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/tidwall/gjson"

	"github.com/outflow-db/outflow/internal/content"
)

// Fields of the payload that are ours. No column has a name that begins so.
const (
	reserved     = "outflow_"
	keyField     = reserved + "key"
	versionField = reserved + "version"
	digestField  = reserved + "digest"
)

// maxDepth is how deep objects and lists may be nested in a column's value. The server reads messages of at most
// 100 levels, of which an object takes three; what is deeper is kept as its JSON text.
const maxDepth = 24

var errDocument = errors.New("the document is no JSON object in UTF-8")

// payloadOf makes the payload of a document that PostgreSQL wrote, with room for our own fields. An empty document
// has no fields.
func payloadOf(doc []byte) (map[string]*pb.Value, error) {
	if doc == nil {
		return make(map[string]*pb.Value, 3), nil
	}
	if !utf8.Valid(doc) || !gjson.ValidBytes(doc) {
		return nil, errDocument
	}
	object := gjson.ParseBytes(doc)
	if !object.IsObject() {
		return nil, errDocument
	}
	payload := make(map[string]*pb.Value, 16)
	object.ForEach(func(name, v gjson.Result) bool {
		payload[name.String()] = valueOf(v, 0)
		return true
	})
	return payload, nil
}

// valueOf is a JSON value as one of Qdrant's, without loss.
func valueOf(v gjson.Result, depth int) *pb.Value {
	switch v.Type {
	case gjson.Null:
		return pb.NewValueNull()
	case gjson.False:
		return pb.NewValueBool(false)
	case gjson.True:
		return pb.NewValueBool(true)
	case gjson.String:
		return pb.NewValueString(v.Str)
	case gjson.Number:
		return numberOf(v.Raw)
	case gjson.JSON:
	}
	if depth == maxDepth {
		return pb.NewValueString(v.Raw)
	}
	if v.IsArray() {
		list := &pb.ListValue{}
		v.ForEach(func(_, element gjson.Result) bool {
			list.Values = append(list.Values, valueOf(element, depth+1))
			return true
		})
		return pb.NewValueList(list)
	}
	object := &pb.Struct{Fields: map[string]*pb.Value{}}
	v.ForEach(func(name, member gjson.Result) bool {
		object.Fields[name.String()] = valueOf(member, depth+1)
		return true
	})
	return pb.NewValueStruct(object)
}

// numberOf is a number: an integer if it is a whole one of 64 bits, else a double if the double is the very number
// when it is written in decimal, else the number's text.
func numberOf(text string) *pb.Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return pb.NewValueInt(n)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && content.SameNumber(text, strconv.FormatFloat(f, 'e', -1, 64)) {
		return pb.NewValueDouble(f)
	}
	return pb.NewValueString(text)
}
