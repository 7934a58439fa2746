package nebulaserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// With a certificate the server speaks TLS, and nothing else.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	s, srv := start(t, nebulaserver.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots}}
	conn, err := d.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c, err := nebulatest.Over(conn, "root", "nebula")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect(t, c, "YIELD 1 AS a", "a;	1")
	if _, err := srv.Dial(t.Context()); err == nil {
		t.Fatal("a client without TLS gets in")
	}
}

// certificate is one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
