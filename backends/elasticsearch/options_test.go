package elasticsearch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// answering is a server that answers everything as do says, and says that it is Elasticsearch.
func answering(tb testing.TB, do http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(product(do))
	tb.Cleanup(s.Close)
	return s
}

func product(do http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		do(w, r)
	})
}

// text answers with a status and a body.
func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// opened opens a backend with these settings, which are right.
func opened(tb testing.TB, values map[string]any) *backend {
	tb.Helper()
	b, err := open(backends.Config{Name: "search", Settings: values})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

// Settings have defaults, and a password in an address is one of the settings.
func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := readOptions(nil)
	if err != nil || len(o.addresses) != 1 || o.addresses[0].String() != DefaultAddress || o.requests != DefaultRequests {
		t.Errorf("got %+v, %v", o, err)
	}
	o, err = readOptions(map[string]any{"addresses": []any{"https://me:secret@a:1/path/", "http://b:2"}, "requests": 5, "prefix": "p-"})
	if err != nil || o.username != "me" || o.password != "secret" || o.addresses[0].String() != "https://a:1/path" || o.requests != 5 || o.prefix != "p-" {
		t.Errorf("got %+v, %v", o, err)
	}
}

// Every problem of the settings is told at once, with its place, and no secret.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	_, err := open(backends.Config{Name: "search", Settings: map[string]any{
		"addresses": []any{"a:9200", "http://u:topsecret@b:1?x=1", "ftp://c"}, "username": "topsecret", "api_key": "topsecret", "prefix": "Big", "requests": 0,
		"typo": 1, "tls": map[string]any{"ca": "topsecret", "key": "topsecret", "fingerprint": "topsecret"},
	}})
	if backends.ClassOf(err) != backends.Rejected || strings.Contains(err.Error(), "topsecret") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"addresses[0]", "addresses[1]", "addresses[2]", "api_key", "password", "prefix", "requests", "typo", "tls.ca", "tls.key", "tls.fingerprint"} {
		if !strings.Contains(err.Error(), "setting "+want+" ") {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
	if _, err = readOptions(map[string]any{"tls": map[string]any{"certificate": "x", "key": "y"}}); err == nil || !strings.Contains(err.Error(), "cannot be used together") {
		t.Errorf("got %v", err)
	}
	if _, err := backends.Open(t.Context(), backends.Config{Name: "search", Type: Type, Settings: map[string]any{"typo": 1}}); err == nil {
		t.Error("opened by its type with a setting that there is not")
	}
}

// Each way to log in is sent as the server expects it, and nothing else.
func TestCredentials(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"status":"green"}`)
	})
	for want, values := range map[string]map[string]any{
		"":                   {},
		"Basic bWU6c2VjcmV0": {"username": "me", "password": "secret"},
		"APIKey a2V5":        {"api_key": "a2V5"},
		"Bearer token":       {"service_token": "token", "compression": true},
	} {
		values["addresses"] = s.URL
		if err := opened(t, values).Health(t.Context()); err != nil {
			t.Error(err)
		}
		if have := <-got; have != want {
			t.Errorf("got %q, want %q", have, want)
		}
	}
}

// identity is a certificate with its key, as PEM.
func identity(tb testing.TB) (cert, key string) {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "worker"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatal(err)
	}
	return encoded("CERTIFICATE", der), encoded("PRIVATE KEY", private)
}

func encoded(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

// A server is trusted by its authority or by its fingerprint, and a client by its certificate; where the two sides do not
// agree the error says what to do.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := identity(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	green := product(text(http.StatusOK, `{"status":"green"}`))
	open := httptest.NewUnstartedServer(green)
	open.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	open.StartTLS()
	t.Cleanup(open.Close)
	closed := httptest.NewUnstartedServer(green)
	closed.Config.ErrorLog = open.Config.ErrorLog
	closed.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	closed.StartTLS()
	t.Cleanup(closed.Close)
	plain := answering(t, green.ServeHTTP)
	authority := encoded("CERTIFICATE", open.Certificate().Raw)
	sum := sha256.Sum256(open.Certificate().Raw)
	fingerprint := hex.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		address string
		tls     map[string]any
		advice  string // empty: it works
	}{
		"authority":              {open.URL, map[string]any{"ca": authority}, ""},
		"fingerprint":            {open.URL, map[string]any{"fingerprint": strings.ToUpper(fingerprint[:2]) + ":" + fingerprint[2:]}, ""},
		"another fingerprint":    {open.URL, map[string]any{"fingerprint": strings.Repeat("0", 64)}, "compare tls.fingerprint"},
		"unknown authority":      {open.URL, nil, "give the authority"},
		"client certificate":     {closed.URL, map[string]any{"ca": authority, "certificate": cert, "key": key}, ""},
		"no client certificate":  {closed.URL, map[string]any{"ca": authority}, "refuses this client"},
		"a server without TLS":   {strings.Replace(plain.URL, "http", "https", 1), nil, "does not speak TLS"},
		"TLS where none is said": {strings.Replace(open.URL, "https", "http", 1), nil, "correct the setting addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values := map[string]any{"addresses": c.address}
			if c.tls != nil {
				values["tls"] = c.tls
			}
			err := opened(t, values).Health(t.Context())
			if c.advice == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if backends.ClassOf(err) != backends.Denied || !strings.Contains(backends.AsError("health", "search", err).Advice, c.advice) {
				t.Errorf("want advice %q, got %v: %v", c.advice, backends.ClassOf(err), backends.AsError("health", "search", err).Advice)
			}
		})
	}
}

// A node that takes no connections is passed over, from the first request on; when none does, that can be tried again.
func TestFailover(t *testing.T) {
	t.Parallel()
	const dead = "http://127.0.0.1:1" // no port that anybody gets by chance
	alive := answering(t, text(http.StatusOK, `{"status":"green"}`))
	for _, list := range [][]any{{dead, alive.URL}, {alive.URL, dead}} {
		b := opened(t, map[string]any{"addresses": slices.Clone(list)})
		for range 4 {
			if err := b.Health(t.Context()); err != nil {
				t.Errorf("%v: %v", list, err)
			}
		}
	}
	if err := opened(t, map[string]any{"addresses": []any{dead, dead}}).Health(t.Context()); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v: %v", backends.ClassOf(err), err)
	}
}
