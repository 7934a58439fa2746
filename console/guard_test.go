package console

import (
	"log/slog"
	"net/http"
	"testing"
)

func (w *world) silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A console on the loopback answers to this machine's names only, and takes no writes from pages of other origins.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.exec(`insert into river.river_queue (name, created_at, updated_at, metadata) values ('search', now(), now(), '{}')`)
	for _, c := range []struct {
		what, method, path string
		change             func(*http.Request)
		want               int
	}{
		{"another name", "GET", "/", func(r *http.Request) { r.Host = "evil.example" }, 421},
		{"another name, of River UI", "GET", "/river/", func(r *http.Request) { r.Host = "evil.example:8317" }, 421},
		{"localhost", "GET", "/", func(r *http.Request) { r.Host = "localhost:1234" }, 200},
		{"another site", "PUT", "/river/api/queues/search/pause", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"another origin", "PUT", "/river/api/queues/search/pause", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"its own page", "PUT", "/river/api/queues/search/pause", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, 200},
		{"reading from elsewhere", "GET", "/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 200},
	} {
		if got, body := w.do(c.method, c.path, c.change); got != c.want {
			t.Errorf("%s: status %d, want %d: %.200s", c.what, got, c.want, body)
		}
	}
}

// With credentials all but the probes asks for them: a user with the password, or the token, and nothing less. The
// console may then be where others reach it.
func TestCredentials(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *Config) { c.Listen, c.User, c.Password, c.Token = "0.0.0.0:0", "ops", "pass", "abc" })
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	bearer := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	for _, c := range []struct {
		what   string
		change func(*http.Request)
		want   int
	}{
		{"nothing", nil, 401},
		{"user and password", basic("ops", "pass"), 200},
		{"wrong password", basic("ops", "Pass"), 401},
		{"wrong user", basic("op", "pass"), 401},
		{"empty", basic("", ""), 401},
		{"token", bearer("Bearer abc"), 200},
		{"token, small letters", bearer("bearer abc"), 200},
		{"wrong token", bearer("Bearer abcd"), 401},
		{"no token", bearer("Bearer "), 401},
		{"token as password", basic("ops", "abc"), 401},
		{"password as token", bearer("Bearer pass"), 401},
	} {
		for _, path := range []string{"/", "/status", "/metrics", "/river/"} {
			if got, _ := w.do("GET", path, c.change); got != c.want {
				t.Errorf("%s, %s: status %d, want %d", c.what, path, got, c.want)
			}
		}
	}
	w.get("/healthz", 200)
	w.get("/readyz", 200)
}

// With a token alone neither an empty user nor an empty password lets in.
func TestTokenAlone(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *Config) { c.Token = "abc" })
	w.get("/", 401)
	if got, _ := w.do("GET", "/", func(r *http.Request) { r.SetBasicAuth("", "") }); got != 401 {
		t.Errorf("empty credentials: status %d", got)
	}
	if got, _ := w.do("GET", "/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer abc") }); got != 200 {
		t.Errorf("the token: status %d", got)
	}
}
