package elasticsearch

import "github.com/outflow-db/outflow/backends"

func init() {
	text := func(about string) backends.Setting { return backends.Setting{Shape: backends.Text, About: about} }
	open := backends.NamesOf("", backends.Setting{})
	address := text("")
	address.Pattern, address.Want = `^https?://[^/?#\s]+(/[^?#\s]*)?$`, "the address of a node, such as https://search-1:9200"
	fingerprint := text("The SHA-256 of a certificate in the server's chain, which is trusted instead of an authority.")
	fingerprint.Pattern, fingerprint.Want = `^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$`, "the SHA-256 of a certificate, 64 hexadecimal digits"
	backends.Describe(Type, backends.Settings{
		Backend: map[string]backends.Setting{
			"addresses":     backends.ListOf("Nodes. Default: http://127.0.0.1:9200.", address),
			"username":      text("Goes with password."),
			"password":      text("The password of the user."),
			"api_key":       text("The encoded API key."),
			"service_token": text("The token of a service account."),
			"prefix":        text("What the names of all indexes and aliases begin with."),
			"compression":   {Shape: backends.Flag, About: "Requests go compressed with gzip. Default: false."},
			"requests":      {Shape: backends.Whole, Least: 1, Most: 64, About: "Bulk requests of one lane under way at once. Default: 2."},
			"tls":           backends.TLS(map[string]backends.Setting{"fingerprint": fingerprint}),
		},
		Target: map[string]backends.Setting{
			"shards":     {Shape: backends.Whole, Least: 1, Most: 1024, About: "Primary shards of the index. Default: 1."},
			"replicas":   {Shape: backends.Whole, Most: 100, About: "Copies of each shard. Default: 1."},
			"refresh":    {Shape: backends.Span, About: "How old what a search sees may be. Default: 1s."},
			"gc_deletes": {Shape: backends.Span, AtLeast: leastTombstone, About: "How long the server remembers a deleted document. Default: 1h."},
			"settings":   {Shape: open.Shape, Of: open.Of, About: "Other settings of the index, by the server's names without index."},
			"fields":     backends.NamesOf("Mappings that replace those that follow from the columns' types.", backends.Setting{Shape: backends.Names, Of: open.Of, Want: "a mapping, such as {type: keyword}"}),
		},
	})
}
