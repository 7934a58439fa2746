package qdrant

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

// Every JSON value becomes the value of Qdrant that means the same.
func TestPayload(t *testing.T) {
	t.Parallel()
	got, err := payloadOf([]byte(`{"n": null, "t": true, "f": false, "i": 7, "d": 0.5, "s": "a\u0001\"\ud83d\ude80", "": [1, [], {"x": {}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := pb.NewValueMap(map[string]any{
		"n": nil, "t": true, "f": false, "i": 7, "d": 0.5, "s": "a\x01\"🚀", "": []any{1, []any{}, map[string]any{"x": map[string]any{}}},
	})
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

// A record without columns has an empty payload; what is no object is refused.
func TestPayloadBounds(t *testing.T) {
	t.Parallel()
	if p, err := payloadOf(nil); err != nil || p == nil || len(p) > 0 {
		t.Errorf("got %v, %v", p, err)
	}
	for _, bad := range []string{"", "[]", "1", "{", `{"a": "` + "\xff" + `"}`, `{"a": }`} {
		if p, err := payloadOf([]byte(bad)); err == nil {
			t.Errorf("%q became %v", bad, p)
		}
	}
}

// Numbers are kept: as an integer, as a double, or as the text where neither is the same number.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*pb.Value{
		"0": pb.NewValueInt(0), "-7": pb.NewValueInt(-7), "9223372036854775807": pb.NewValueInt(1<<63 - 1), "9007199254740993": pb.NewValueInt(9007199254740993),
		"0.1": pb.NewValueDouble(0.1), "1.10": pb.NewValueDouble(1.1), "-0.0": pb.NewValueDouble(0), "1e3": pb.NewValueDouble(1000),
		"1" + strings.Repeat("0", 308): pb.NewValueDouble(1e308), "0." + strings.Repeat("0", 323) + "5": pb.NewValueDouble(5e-324),
		"9223372036854775808":                 pb.NewValueString("9223372036854775808"), // a double is written 9.223372036854776e18
		"0.1000000000000000000001":            pb.NewValueString("0.1000000000000000000001"),
		"123456789012345678901234567890.1234": pb.NewValueString("123456789012345678901234567890.1234"),
		"1" + strings.Repeat("0", 400):        pb.NewValueString("1" + strings.Repeat("0", 400)),
		"1e999999999999999999999":             pb.NewValueString("1e999999999999999999999"),
	} {
		if d := cmp.Diff(want, numberOf(text), protocmp.Transform()); d != "" && text != "-0.0" {
			t.Errorf("%.40s: %s", text, d)
		}
	}
}

// Whatever the number, what is kept is that number.
func TestNumbersAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
		keeps(t, text)
	})
}

// failer is a test, or a check of many.
type failer interface {
	Errorf(format string, args ...any)
}

// keeps wants a number kept.
func keeps(t failer, text string) {
	want, ok := new(big.Rat).SetString(text)
	var got *big.Rat
	switch v := numberOf(text).GetKind().(type) {
	case *pb.Value_IntegerValue:
		got = new(big.Rat).SetInt64(v.IntegerValue)
	case *pb.Value_DoubleValue: // the shortest decimal of a double stands for it, as in PostgreSQL and in JSON
		decimal, err := json.Marshal(v.DoubleValue)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		got, _ = new(big.Rat).SetString(string(decimal))
	case *pb.Value_StringValue:
		if v.StringValue != text {
			t.Errorf("%s became %s", text, v.StringValue)
		}
		return
	}
	if !ok || got.Cmp(want) != 0 {
		t.Errorf("%s became %s", text, got)
	}
}

// What is nested deeper than the server reads is kept as its text, and the whole can be read.
func TestDepth(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
		inner := "1"
		for range 200 {
			inner = c[0] + inner + c[1]
		}
		payload, err := payloadOf(fmt.Appendf(nil, `{"x": %s}`, inner))
		if err != nil {
			t.Fatal(err)
		}
		v := payload["x"]
		for range maxDepth {
			if list := v.GetListValue(); list != nil {
				v = list.Values[0]
			} else {
				v = v.GetStructValue().Fields["a"]
			}
		}
		if want := strings.TrimSuffix(strings.TrimPrefix(inner, strings.Repeat(c[0], maxDepth)), strings.Repeat(c[1], maxDepth)); v.GetStringValue() != want {
			t.Errorf("got %v, want the text", v)
		}
	}
}

// Whatever the document, it is refused or becomes a payload that can be sent, and no number changes.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a": [1, -0, 1e400, 0.1, {"b": null}], "": "\ud800"}`, `{"a": "\u0000"}`, `[`, strings.Repeat(`{"a":[`, 30)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		payload, err := payloadOf(doc)
		if err != nil {
			return
		}
		if _, err := proto.Marshal(&pb.PointStruct{Payload: payload}); err != nil {
			t.Fatal(err)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(doc, &object); err != nil {
			t.Skip("Go is stricter")
		}
		for name := range payload {
			if !utf8.ValidString(name) {
				t.Errorf("the name %q is no text", name)
			}
		}
	})
}
