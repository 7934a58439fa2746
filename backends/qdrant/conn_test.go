package qdrant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

// certificate is one for 127.0.0.1, which is its own authority, with its key, as PEM.
func certificate(tb testing.TB) (cert, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	encode := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", secret)
}

// A server is reached with TLS, by an authority and with a certificate of our own; what does not fit says what to do.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	secure := qdranttest.Server(t, qdrantserver.Options{APIKey: "k", TLS: &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, // in which a client is told why it is refused
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}}).Address()
	plain := qdranttest.Server(t, qdrantserver.Options{}).Address()
	for name, c := range map[string]struct {
		address string
		tls     dict
		class   backends.Class
		advice  string
	}{
		"right":          {secure, dict{"ca": cert, "certificate": cert, "key": key}, "", ""},
		"no authority":   {secure, dict{"certificate": cert, "key": key}, backends.Denied, "tls.ca"},
		"no certificate": {secure, dict{"ca": cert}, backends.Denied, "tls.certificate"},
		"no TLS there":   {plain, dict{"ca": cert}, backends.Denied, "setting tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := opened(t, map[string]any{"addresses": c.address, "api_key": "k", "tls": c.tls}, nil)
			err := b.Health(t.Context())
			if c.class == "" && err != nil || c.class != "" && (backends.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.advice)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// When a node goes, requests go to another; when all are gone, this will pass; when one is back, they go there.
func TestFailover(t *testing.T) {
	t.Parallel()
	one, two := qdranttest.Server(t, qdrantserver.Options{}), qdranttest.Server(t, qdrantserver.Options{})
	b := opened(t, map[string]any{"addresses": []any{one.Address(), "127.0.0.1:1", two.Address()}}, nil)
	healthy := func() {
		t.Helper()
		for err := b.Health(t.Context()); err != nil; err = b.Health(t.Context()) {
			if c := backends.ClassOf(err); c != backends.Transient && c != backends.Unknown {
				t.Fatal(err)
			}
		}
	}
	healthy()
	one.Stop()
	healthy()
	two.Stop()
	for range 3 {
		if c := backends.ClassOf(b.Health(t.Context())); c != backends.Transient && c != backends.Unknown {
			t.Errorf("class %s", c)
		}
	}
	if err := one.Restart(); err != nil {
		t.Fatal(err)
	}
	healthy()
}

// Requests go to the first node that is up, and back to it when a probe finds it up again; a server that refuses is up.
func TestPreferred(t *testing.T) {
	t.Parallel()
	one, two := qdranttest.Server(t, qdrantserver.Options{}), qdranttest.Server(t, qdrantserver.Options{})
	b := opened(t, map[string]any{"addresses": []any{one.Address(), two.Address()}}, nil)
	states := func() string { return string(b.Endpoints()[0].State + " " + b.Endpoints()[1].State) }
	one.Fail(qdrantserver.Fault{Err: qdrantserver.Unavailable()})
	for range 5 {
		if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Transient {
			t.Errorf("got %v", err)
		}
	}
	if got := states(); got != "up up" {
		t.Errorf("after answers the nodes are %s", got)
	}
	one.Heal()
	one.Stop()
	for range 4 {
		_ = b.Health(t.Context())
	}
	if got := states(); got != "down up" {
		t.Fatalf("the nodes are %s", got)
	}
	if err := b.Health(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.Probe(t.Context(), one.Address()); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
	if err := one.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := b.Probe(t.Context(), one.Address()); err != nil {
		t.Error(err)
	}
	two.Stop()
	if err := b.Health(t.Context()); err != nil || states() != "up up" {
		t.Errorf("got %v, the nodes are %s", err, states())
	}
}

// A collection whose optimisers failed is told, with the disk if that is why; one that is gone is not.
func TestHealth(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t)
	n, _ := b.names(to)
	for _, c := range []struct {
		status  pb.CollectionStatus
		trouble string
		advice  string // empty: healthy
	}{
		{pb.CollectionStatus_Green, "", ""},
		{pb.CollectionStatus_Yellow, "", ""},
		{pb.CollectionStatus_Grey, "", ""},
		{pb.CollectionStatus_Red, "broken", "server's log"},
		{pb.CollectionStatus_Yellow, "No space left on device", "disk space"},
	} {
		s.SetStatus(n.collection, c.status, c.trouble)
		err := b.Health(t.Context())
		if c.advice == "" && err != nil || c.advice != "" && (backends.ClassOf(err) != backends.Transient || !strings.Contains(err.Error(), c.advice)) {
			t.Errorf("%s %q: got %v", c.status, c.trouble, err)
		}
	}
	if _, err := b.collections.Delete(t.Context(), &pb.DeleteCollection{CollectionName: n.collection}); err != nil {
		t.Fatal(err)
	}
	if err := b.Health(t.Context()); err != nil {
		t.Error(err)
	}
	s.Fail(qdrantserver.Fault{Err: qdrantserver.Unavailable()})
	if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
}

// Readers see a new generation only when its optimisers are done; if they fail, that is told.
func TestServeWaits(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t)
	two := to
	two.Generation, two.Building = 2, true
	b.mustPrepare(t, to, two)
	s.SetStatus("symbols@2", pb.CollectionStatus_Grey, "")
	held, served := make(chan struct{}), make(chan error)
	hold := func(method string, after int) {
		s.Fail(qdrantserver.Fault{Method: method, Trouble: qdrantserver.Hold, After: after, Times: 1, Seen: func() { close(held) }})
	}
	hold("Update", 1) // the first is to index again, the second because of Grey
	go func() { served <- b.Serve(t.Context(), two) }()
	<-held
	s.SetStatus("symbols@2", pb.CollectionStatus_Yellow, "")
	held = make(chan struct{})
	s.Heal()
	hold("Get", 1) // it has been told Yellow before
	<-held
	if seen, err := b.seen(t.Context(), names{alias: "symbols"}); err != nil || seen != "symbols@1" {
		t.Errorf("readers see %s, %v", seen, err)
	}
	s.SetStatus("symbols@2", pb.CollectionStatus_Green, "")
	s.Heal()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	s.SetStatus("symbols@2", pb.CollectionStatus_Red, "broken")
	if err := b.Serve(t.Context(), two); backends.ClassOf(err) != backends.Transient || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
}

// Something else that answers, such as the server's other port, is told from a server that is not there.
func TestOtherProtocol(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	b := opened(t, map[string]any{"addresses": web.Listener.Addr().String()}, nil)
	if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Denied || !strings.Contains(err.Error(), "6334") {
		t.Errorf("got %v", err)
	}
}
