package nebula

import (
	"time"

	"github.com/outflow-db/outflow/backends"
)

func init() {
	backends.Describe(Type, backends.Settings{Backend: describeBackend(), Target: describeTarget()})
}

func described(about string) backends.Setting {
	return backends.Setting{Shape: backends.Text, About: about}
}

func counted(least, most int64, about string) backends.Setting {
	return backends.Setting{Shape: backends.Whole, Least: least, Most: most, About: about}
}

func describeBackend() map[string]backends.Setting {
	return map[string]backends.Setting{
		"addresses": backends.ListOf("The graphds. Default: 127.0.0.1:9669.", backends.Setting{
			Shape: backends.Text, Pattern: `^[^/@ ?#]+$`, Want: "the address of a graphd, such as graph-1:9669; TLS is switched on by the setting tls",
		}),
		"user":     described("Default: root."),
		"password": described("Default: nebula."),
		"tls":      backends.TLS(nil),
		"space":    described("The space, which is made if it is not there. Default: outflow."),
		"vid": {
			Shape: backends.Text, Pattern: `^([Ii][Nn][Tt]64|[Ff][Ii][Xx][Ee][Dd]_[Ss][Tt][Rr][Ii][Nn][Gg]\([0-9]{2,4}\))$`, Want: "INT64 or FIXED_STRING(n)",
			About: "The type of the ids. Default: FIXED_STRING(64).",
		},
		"partitions":      counted(1, 65535, "partition_num of a space that is made. Default: the server's."),
		"replicas":        counted(1, 64, "replica_factor of a space that is made. Default: the server's."),
		"sessions":        counted(1, 300, "Sessions of this process that may write and read at once. Default: 10."),
		"requests":        counted(1, 64, "Writes of one lane under way at once. Default: 4."),
		"timeout":         {Shape: backends.Span, AtLeast: time.Second, About: "For one statement; keep it above graphd's storage_client_timeout_ms. Default: 75s."},
		"statement_bytes": counted(leastBytes, 1<<30, "graphd's max_allowed_query_size. Default: 4194304."),
	}
}

func describeTarget() map[string]backends.Setting {
	position := counted(0, 99, "")
	position.Want = "a column of the key, counted from 0"
	at := func(about string) backends.Setting {
		s := backends.ListOf(about, position)
		s.Want = "a column of the key, counted from 0, or a list of them"
		return s
	}
	rank := position
	rank.About = "The column of the key with the rank. Default: the rank is 0."
	column := position
	column.About = "The column of the key that says the type."
	return map[string]backends.Setting{
		"vertex": {Shape: backends.Mapping, About: "Which columns of the key make the id. Default: the whole key.", Fields: map[string]backends.Setting{
			"id": at("The columns of the id."),
		}, Required: []string{"id"}},
		"edge": {Shape: backends.Mapping, About: "Records are edges: which columns of the key make the ends.", Fields: map[string]backends.Setting{
			"source": at("The columns of the id where it begins."), "target": at("The columns of the id where it ends."), "rank": rank,
		}, Required: []string{"source", "target"}},
		"types": {Shape: backends.Mapping, About: "Several tags or edge types. Default: one, named as the target.", Fields: map[string]backends.Setting{
			"column": column, "names": backends.ListOf("The types that there are.", described("")),
		}, Required: []string{"column", "names"}},
		"properties":   backends.NamesOf("Other types of properties than follow from the columns'.", backends.Setting{Shape: backends.Text, Want: typeNames}),
		"indexes":      backends.NamesOf("Indexes of your own, by their columns.", backends.ListOf("", backends.Setting{Shape: backends.Text, Want: "a column, such as line or name(32)"})),
		"delete_edges": backends.ListOf("Types of edges that go with a deleted vertex.", described("")),
	}
}
