package nebula

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
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
	_, secure := server(t, nebulaserver.Config{TLS: &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, // in which a client is told why it is refused
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}})
	_, plain := server(t, nebulaserver.Config{})
	for name, c := range map[string]struct {
		address string
		tls     dict
		class   backends.Class
		advice  string
	}{
		"right":          {secure.Addr, dict{"ca": cert, "certificate": cert, "key": key}, "", ""},
		"no authority":   {secure.Addr, dict{"certificate": cert, "key": key}, backends.Denied, "tls.ca"},
		"no certificate": {secure.Addr, dict{"ca": cert}, backends.Denied, "tls.certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := plainly(t, dict{"addresses": c.address, "tls": c.tls, "password": "nebula"})
			err := b.Health(t.Context())
			if c.class == "" && err != nil || c.class != "" && (backends.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.advice)) {
				t.Errorf("got %v", err)
			}
		})
	}
	b := plainly(t, dict{"addresses": plain.Addr, "tls": dict{"ca": cert}}) // the server waits for more
	if err := b.Health(t.Context()); err == nil {
		t.Error("a server without TLS is taken")
	}
}

// plainly opens a backend that makes no space.
func plainly(tb testing.TB, values dict) *backend {
	tb.Helper()
	b, err := open(backends.Config{Name: "graph", Settings: values})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

// One graphd that is down, at the start or later, is passed over; when one is back, it serves.
func TestFailover(t *testing.T) {
	t.Parallel()
	one, first := server(t, nebulaserver.Config{})
	two, second := server(t, nebulaserver.Config{})
	b := plainly(t, dict{"addresses": []any{"127.0.0.1:1", first.Addr, second.Addr}})
	for range 4 {
		if err := b.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = one.Close()
	for range 4 {
		if err := b.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = two.Close()
	if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
	three, err := nebulaserver.Start(nebulaserver.Config{Addr: second.Addr})
	if err != nil {
		t.Skip("the port was taken meanwhile:", err)
	}
	defer three.Close()
	if err := b.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// A login that the server refuses for the moment is tried again; too many sessions say what to do; a wrong password is
// told once and repeated nowhere.
func TestLogin(t *testing.T) {
	t.Parallel()
	s, at := server(t, nebulaserver.Config{})
	login := func(r string) bool { return strings.HasPrefix(r, "AUTHENTICATE") }
	fault := nebulaserver.Fault{Match: login, Code: nebula.ErrorCode_E_SESSION_INVALID, Text: "Insert session to local cache failed", Times: 2}
	s.Inject(fault)
	b := plainly(t, dict{"addresses": at.Addr})
	if err := b.Health(t.Context()); err != nil {
		t.Error(err)
	}
	fault.Text, fault.Times = "Too many sessions created from 127.0.0.1 by user root.", logins
	s.Inject(fault)
	err := plainly(t, dict{"addresses": at.Addr}).Health(t.Context())
	if backends.ClassOf(err) != backends.Transient || !strings.Contains(err.Error(), "max_sessions_per_ip_per_user") {
		t.Errorf("got %v", err)
	}
	err = plainly(t, dict{"addresses": []any{at.Addr, "127.0.0.1:1"}, "password": "top secret"}).Health(t.Context())
	if backends.ClassOf(err) != backends.Denied || strings.Contains(err.Error(), "top secret") {
		t.Errorf("got %v", err)
	}
}

// Sessions end with the backend, and those that lost their connection with the next login.
func TestLeave(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	before := s.SessionCount()
	s.Disconnect()
	_ = b.Health(t.Context())
	b.mustWrite(t, to, symbol("b", 2))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for s.SessionCount() >= before { // ending one has no answer; one that is left fails the test by its timeout
		runtime.Gosched()
	}
	if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
}

// Sessions are with the first graphd that is up, and go back to it when a probe finds it up again.
func TestPreferred(t *testing.T) {
	t.Parallel()
	at := nebulatest.Open(t)
	gate := newDoor(t, at.Addr)
	b := opened(t, at, dict{"addresses": []any{gate.Addr().String(), at.Addr}})
	states := func() string { return string(b.Endpoints()[0].State + " " + b.Endpoints()[1].State) }
	nodes := func() (list []int) {
		b.pool.mu.Lock()
		defer b.pool.mu.Unlock()
		for _, c := range b.pool.idle {
			list = append(list, c.node)
		}
		return list
	}
	if err := b.Health(t.Context()); err != nil || !slices.Equal(nodes(), []int{0}) {
		t.Fatalf("got %v, sessions are with %v", err, nodes())
	}
	gate.set(true)
	for range 4 {
		_ = b.Health(t.Context())
	}
	if err := b.Health(t.Context()); err != nil || states() != "down up" || !slices.Equal(nodes(), []int{1}) {
		t.Errorf("got %v, the graphds are %s, sessions are with %v", err, states(), nodes())
	}
	if err := b.Probe(t.Context(), gate.Addr().String()); err == nil {
		t.Error("a probe says that it is well")
	}
	gate.set(false)
	if err := b.Probe(t.Context(), gate.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := b.Health(t.Context()); err != nil || states() != "up up" || !slices.Contains(nodes(), 0) {
		t.Errorf("got %v, the graphds are %s, sessions are with %v", err, states(), nodes())
	}
}

// When all sessions are busy, a call waits as long as its context.
func TestBusy(t *testing.T) {
	t.Parallel()
	b := opened(t, nebulatest.Open(t), dict{"sessions": 1})
	b.pool.slots <- struct{}{}
	if _, err := b.Lookup(deadline(t, 10*time.Millisecond), symbols(), []string{"a"}); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
	if err := b.Health(t.Context()); err != nil { // which is not about who is busy
		t.Error(err)
	}
	<-b.pool.slots
	b.pool.turn <- struct{}{}
	b.pool.gone(b.pool.idle[0])
	if err := b.Health(deadline(t, 10*time.Millisecond)); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
	<-b.pool.turn
}

// Health tells hosts that are down once, and is an error only when none is online.
func TestHealth(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &backend{name: "graph", log: slog.New(slog.NewTextHandler(&out, nil)), pool: newPool(options{sessions: 1, space: "s"}, endpoints.Config{})}
	str := func(s string) *nebula.Value { return &nebula.Value{SVal: []byte(s)} }
	num := func(n int64) *nebula.Value { return &nebula.Value{IVal: &n} }
	row := func(host, status string, leads int64, parts string) *nebula.Row {
		return &nebula.Row{Values: []*nebula.Value{str(host), num(9779), str(status), num(leads), str(""), str(parts), str("3.8.0")}}
	}
	up, down, idle := row("a", "ONLINE", 3, "s:3"), row("b", "OFFLINE", 0, "s:3"), row("c", "ONLINE", 0, "s:3")
	fresh := row("d", "ONLINE", 0, "No valid partition")
	hosts := func(rows ...*nebula.Row) error {
		return b.judgeHosts(t.Context(), &nebula.DataSet{Rows: rows})
	}
	for range 2 {
		if err := hosts(up, down, idle, fresh); err != nil {
			t.Error(err)
		}
	}
	if got := out.String(); strings.Count(got, "b:9779 is offline") != 1 || !strings.Contains(got, "c:9779 leads no partition") || strings.Contains(got, "d:9779") || !strings.Contains(got, "version=3.8.0") {
		t.Errorf("the log has %s", got)
	}
	if err := hosts(down); backends.ClassOf(err) != backends.Transient || !strings.Contains(err.Error(), "b:9779") {
		t.Errorf("got %v", err)
	}
	if err := hosts(up); err != nil || !strings.Contains(out.String(), "storage hosts are online") {
		t.Errorf("got %v: %s", err, out.String())
	}
}

// Something else that answers is an error, and neither a panic nor a wait.
func TestOtherProtocol(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", strings.Repeat("\x00", 64), "\x00\x00\x00\x10\x0f\xff\x00\x00\x00\x00\x00\x01\x00\x01\x02\x00\x82\x21\x01\x07"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(answer))
				_ = c.Close()
			}
		}()
		err = plainly(t, dict{"addresses": l.Addr().String()}).Health(t.Context())
		if c := backends.ClassOf(err); c != backends.Transient && c != backends.Unknown {
			t.Errorf("%q: got %v", answer, err)
		}
		_ = l.Close()
		<-served
	}
	if err := contained(func() error { panic("x") }); err == nil {
		t.Error("a panic is no error")
	}
}
