package local

import "testing"

// Only what cannot be reached from elsewhere is local, and what is no address is an error.
func TestListen(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "localhost:65535": true, "[::1]:0": true, "127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "example.org:80": false, "localhost.example.org:80": false,
	} {
		if got, err := Listen(address); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", address, got, err, want)
		}
	}
	for _, address := range []string{"", "localhost", "127.0.0.1", "localhost:", "localhost:http", "localhost:65536", "::1:80"} {
		if _, err := Listen(address); err == nil {
			t.Errorf("%q was taken for an address", address)
		}
	}
}

// A host is told with and without its port, whatever its case.
func TestHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"LOCALHOST": true, "localhost:1": true, "[::1]": true, "::1": true, "127.0.0.1:9": true,
		"": false, "evil.example": false, "127.0.0.1.evil.example": false, "localhost.evil.example:80": false,
	} {
		if got := Host(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
