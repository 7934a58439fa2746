package qdrant

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/outflow-db/outflow/internal/settings"
)

// What the settings are when they are not given.
const (
	DefaultAddress   = "127.0.0.1:6334"
	DefaultRequests  = 2
	DefaultKeepalive = 10 * time.Second
	DefaultReceive   = 64 << 20
)

const defaultPort = "6334"

// options are the backend's settings.
type options struct {
	addresses []string // host:port
	apiKey    string
	prefix    string
	requests  int
	keepalive time.Duration
	receive   int // bytes of an answer
	tls       *tls.Config
}

// readOptions reads the settings addresses, api_key, prefix, requests, keepalive, receive_bytes and tls. It repeats
// no secret.
func readOptions(values map[string]any) (options, error) {
	r := settings.New(values)
	o := options{
		apiKey:    r.String("api_key", ""),
		prefix:    r.String("prefix", ""),
		requests:  r.Int("requests", DefaultRequests, 1, 64),
		keepalive: r.Duration("keepalive", DefaultKeepalive, time.Second),
		receive:   r.Int("receive_bytes", DefaultReceive, 1<<20, 1<<30),
	}
	o.readAddresses(r)
	r.Map("tls", o.readTLS)
	if o.prefix != "" && !validName(o.prefix+"x") {
		r.Fail("prefix", "cannot begin the name of a collection: want letters, digits, . _ and -, beginning with a letter or digit")
	}
	if strings.TrimFunc(o.apiKey, func(c rune) bool { return c > ' ' && c < 0x7f }) != "" {
		r.Fail("api_key", "cannot be sent: want visible ASCII characters, without blanks or line breaks")
	}
	return o, r.Err()
}

func (o *options) readAddresses(r *settings.Reader) {
	list := r.Strings("addresses")
	if len(list) == 0 {
		list = []string{DefaultAddress}
	}
	for i, text := range list {
		address, ok := hostPort(text)
		if !ok {
			r.Fail(fmt.Sprintf("addresses[%d]", i), "cannot be read: want the gRPC address of a node, such as vectors-1:6334; TLS is switched on by the setting tls")
			continue
		}
		o.addresses = append(o.addresses, address)
	}
}

// hostPort is an address with a port: the usual one if it has none.
func hostPort(text string) (string, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), defaultPort
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", false
		}
	}
	if host == "" || port == "" || strings.ContainsAny(host, "/@ ?#") || strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// readTLS reads the settings ca, certificate and key, as PEM. An empty map switches TLS on, with the authorities
// that this machine trusts.
func (o *options) readTLS(r *settings.Reader) {
	o.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca := r.String("ca", ""); ca != "" {
		o.tls.RootCAs = x509.NewCertPool()
		if !o.tls.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			r.Fail("ca", "holds no certificate: want PEM, such as ${file:/etc/vectors/ca.pem}")
		}
	}
	certificate, key := r.String("certificate", ""), r.String("key", "")
	if (certificate == "") != (key == "") {
		r.Fail("key", "goes with certificate: give both or none")
	} else if certificate != "" {
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			r.Fail("certificate", "and key cannot be used together: "+err.Error())
		}
		o.tls.Certificates = []tls.Certificate{pair}
	}
}
