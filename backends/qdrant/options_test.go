package qdrant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// Settings have defaults.
func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := readOptions(nil)
	if err != nil || !slices.Equal(o.addresses, []string{DefaultAddress}) || o.requests != DefaultRequests || o.keepalive != DefaultKeepalive || o.receive != DefaultReceive || o.tls != nil {
		t.Errorf("got %+v, %v", o, err)
	}
	o, err = readOptions(map[string]any{
		"addresses": []any{"a", "b:7000", "::1", "[::1]:7001"}, "api_key": "k", "prefix": "p-", "requests": 4, "keepalive": "1m", "receive_bytes": 2 << 20, "tls": map[string]any{},
	})
	want := []string{"a:6334", "b:7000", "[::1]:6334", "[::1]:7001"}
	if err != nil || !slices.Equal(o.addresses, want) || o.apiKey != "k" || o.prefix != "p-" || o.requests != 4 || o.keepalive != time.Minute || o.receive != 2<<20 || o.tls == nil {
		t.Errorf("got %+v, %v", o, err)
	}
}

// Every problem of the settings is told at once, with its place, and no secret.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	_, err := open(backends.Config{Name: "vectors", Settings: map[string]any{
		"addresses": []any{"http://a:6334", "a:b", "a:b:c", "ok:1"}, "api_key": "top secret", "prefix": "/", "requests": 0, "keepalive": "1ms", "typo": 1,
		"tls": map[string]any{"ca": "top secret", "key": "top secret"},
	}})
	if backends.ClassOf(err) != backends.Rejected || strings.Contains(err.Error(), "top secret") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"addresses[0]", "addresses[1]", "addresses[2]", "api_key", "prefix", "requests", "keepalive", "typo", "tls.ca", "tls.key"} {
		if !strings.Contains(err.Error(), "setting "+want+" ") {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
	_, err = readOptions(map[string]any{"tls": map[string]any{"certificate": "x", "key": "y"}})
	if err == nil || !strings.Contains(err.Error(), "cannot be used together") {
		t.Errorf("got %v", err)
	}
}
