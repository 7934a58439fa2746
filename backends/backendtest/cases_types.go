package backendtest

import (
	"fmt"
	"slices"
	"strings"
)

// tables makes the suite's tables in the source.
func tables() string {
	var b strings.Builder
	b.WriteString(`create schema @;
		create table @.item (key text primary key, name text, n bigint, note text, embedding real[], src text, dst text, typ text);
		create type @.mood as enum ('sad', 'so so', 'it''s "great"');
		create type @.pair as (a int, b text);
		create domain @.positive as int check (value > 0);
		create table @.kind (id int primary key`)
	for _, v := range values {
		fmt.Fprintf(&b, ", %s %s", v.name, v.typ)
	}
	b.WriteString(")")
	return b.String()
}

// values are types and, as SQL, values of them that have been trouble somewhere.
var values = []struct {
	name, typ string
	values    []string
}{
	{"c_bool", "bool", []string{"true", "false"}},
	{"c_int2", "int2", []string{"0", "-32768", "32767"}},
	{"c_int4", "int4", []string{"0", "-2147483648", "2147483647"}},
	{"c_int8", "int8", []string{"0", "-9223372036854775808", "9223372036854775807", "9223372036854775806", "9007199254740993"}},
	{"c_float4", "float4", []string{"0.1", "'-0'", "1e38", "1e-45", "'NaN'", "'Infinity'", "'-Infinity'"}},
	{"c_float8", "float8", []string{"0.1", "'-0'", "1e308", "5e-324", "'NaN'", "'Infinity'", "'-Infinity'", "9007199254740993"}},
	{"c_numeric", "numeric", []string{"0", "1.10", "1.1", "-0.000000000000000000001", "123456789012345678901234567890.123456789", "'1e400'", "'NaN'"}},
	{"c_money", "money", []string{"12.34", "-1"}},
	{"c_text", "text", append([]string{"''", "' '", "'a'", "'null'", "'NaN'", "'2024-01-02'", "'1'", "'true'", "'{}'", "'<b>&amp;</b>'"}, texts()...)},
	{"c_char", "char(5)", []string{"''", "'a'", "'abcde'"}},
	{"c_varchar", "varchar(9)", []string{"''", "'a '"}},
	{"c_name", "name", []string{"'a name'"}},
	{"c_bytea", "bytea", []string{"''", `'\x00'`, `'\xff00fe'`, "decode(repeat('00ff', 5000), 'hex')"}},
	{"c_date", "date", []string{"'2024-02-29'", "'0001-01-01 BC'", "'5874897-12-31'", "'infinity'", "'-infinity'"}},
	{"c_time", "time", []string{"'00:00'", "'24:00:00'", "'23:59:59.999999'"}},
	{"c_timetz", "timetz", []string{"'12:00+05:30'"}},
	{"c_timestamp", "timestamp", []string{"'2024-02-29 12:34:56.789012'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999999'", "'infinity'", "'-infinity'"}},
	{"c_timestamptz", "timestamptz", []string{"'1970-01-01 00:00Z'", "'1969-12-31 23:59:59.999999Z'", "'2024-07-01 12:00 Asia/Tokyo'", "'infinity'", "'-infinity'"}},
	{"c_interval", "interval", []string{"'0'", "'1 year 2 mons -3 days 04:05:06.7'", "'-178000000 years'"}},
	{"c_uuid", "uuid", []string{"'00000000-0000-0000-0000-000000000000'", "'F0E1D2C3-b4a5-9687-7869-5a4b3c2d1e0f'"}},
	{"c_json", "json", []string{"'null'", `'{"b": 1, "a": 2, "a": 3}'`, `'  [1 , 2.0 ]'`, `'"\u0001\ud83d\ude80"'`}},
	{"c_jsonb", "jsonb", []string{
		"'null'", "'{}'", "'[]'", `'""'`, "'1e400'", "'-0.0'", "'12345678901234567890.10'", `'{"": {"": [null, true, {}]}}'`,
		`'{"a.b": {"$c": 1}, "\"": "\\", "é": "\u0001\u2028"}'`, "(repeat('[', 200) || repeat(']', 200))::jsonb", "to_jsonb(repeat('x', 40000))",
	}},
	{"c_ints", "int[]", []string{"'{}'", "'{1,null,3}'", "'{{1,2},{3,4}}'", "'[-1:1]={1,2,3}'"}},
	{"c_texts", "text[]", []string{"'{}'", `'{"", "null", null, "a,b", "\"", "\\", "{}"}'`}},
	{"c_reals", "real[]", []string{"'{}'", "'{0.1,-0,NaN,Infinity}'", "array_fill(0.5::real, array[1500])"}},
	{"c_enum", "@.mood", []string{"'sad'", "'so so'", `'it''s "great"'`}},
	{"c_domain", "@.positive", []string{"1"}},
	{"c_composite", "@.pair", []string{`row(1, 'x,"y"')`, "row(null, null)"}},
	{"c_int4range", "int4range", []string{"'empty'", "'[1,5)'", "'(,)'"}},
	{"c_tstzrange", "tstzrange", []string{"'[2024-01-01Z,infinity)'"}},
	{"c_inet", "inet", []string{"'192.168.0.1/24'", "'::1'", "'10.0.0.1'"}},
	{"c_cidr", "cidr", []string{"'10.0.0.0/8'", "'2001:db8::/32'"}},
	{"c_macaddr", "macaddr", []string{"'08:00:2b:01:02:03'"}},
	{"c_bit", "bit(3)", []string{"B'101'"}},
	{"c_varbit", "varbit", []string{"B''", "B'1'"}},
	{"c_point", "point", []string{"'(1.5,-0)'", "'(NaN,Infinity)'"}},
	{"c_polygon", "polygon", []string{"'((0,0),(1,1),(2,0))'"}},
	{"c_tsvector", "tsvector", []string{"'a:1A b'", "''"}},
	{"c_oid", "oid", []string{"4294967295"}},
	{"c_lsn", "pg_lsn", []string{"'16/B374D848'"}},
	{"c_xid8", "xid8", []string{"'18446744073709551615'"}},
}

// texts are SQL literals of texts with every control character, and of what Unicode holds in store.
func texts() []string {
	all := []string{
		"\r\n\t", `\`, `\u0000`, `\ud800`, "'", `"`, "`", "$1", "%s", "{{.}}", "\u0080\u009f", "\u00a0", "\u2028\u2029", "\ufeff", "\u200b\u202e", "\ufffd\ufffe\uffff",
		"\U0010ffff", "🚀", "👩‍👩‍👧", "e\u0301", "é", "日本語", "שלום", strings.Repeat("long ", 20000), strings.Repeat("z", 40000),
	}
	for c := rune(1); c < 0x20; c++ {
		all = append(all, "a"+string(c)+"b")
	}
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return quoted
}

// kinds inserts a row for each value of each type, with NULL in all other columns, and one with nothing but NULL, whose
// key is 0. It answers their keys, and which column each is about.
func (x *bench) kinds() (keys, columns []string) {
	x.Helper()
	x.sql("insert into @.kind (id) values (0)")
	keys, columns = []string{"0"}, []string{""}
	for _, v := range values {
		for _, value := range v.values {
			key := len(keys)
			x.sql(fmt.Sprintf("insert into @.kind (id, %s) values (%d, %s)", v.name, key, value))
			keys, columns = append(keys, fmt.Sprint(key)), append(columns, v.name)
		}
	}
	return keys, columns
}

// Every value of every type can be a column: it is stored, and what comes back is what was written.
func testTypes(tb test, s Suite) {
	x := benchOf(tb, s, Types, s.Open(tb))
	keys, _ := x.kinds()
	records := x.read(7, keys...)
	x.write(records)
	x.check()
	slices.Reverse(records)
	x.write(records)
	x.write(gone(8, keys[:9]...))
	x.check(keys[:9]...)
}
