package nebula

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/settings"
)

// What the settings are when they are not given.
const (
	DefaultAddress  = "127.0.0.1:9669"
	DefaultUser     = "root"
	DefaultPassword = "nebula"
	DefaultSpace    = "outflow"
	DefaultVid      = "FIXED_STRING(64)"
	DefaultSessions = 10
	DefaultRequests = 4
	DefaultTimeout  = 75 * time.Second // longer than graphd waits for storaged, so that it can say so
)

const defaultPort = "9669"

// options are the backend's settings.
type options struct {
	addresses            []string // host:port
	user, password       string
	tls                  *tls.Config
	space                string
	vid                  vidType
	partitions, replicas int // 0: the server's own
	sessions, requests   int
	timeout              time.Duration
	statement            int // bytes that graphd takes
}

// readOptions reads the settings of the backend. It repeats no secret.
func readOptions(values map[string]any) (options, error) {
	r := settings.New(values)
	o := options{
		user:       r.String("user", DefaultUser),
		password:   r.String("password", DefaultPassword),
		space:      r.String("space", DefaultSpace),
		partitions: r.Int("partitions", 0, 1, 65535),
		replicas:   r.Int("replicas", 0, 1, 64),
		sessions:   r.Int("sessions", DefaultSessions, 1, 300),
		requests:   r.Int("requests", DefaultRequests, 1, 64),
		timeout:    r.Duration("timeout", DefaultTimeout, time.Second),
		statement:  r.Int("statement_bytes", ngql.MaxStatement, leastBytes, 1<<30),
	}
	o.readAddresses(r)
	r.Map("tls", o.readTLS)
	if err := ngql.CheckName(o.space); err != nil {
		r.Fail("space", "cannot be a name: "+err.Error())
	}
	vid := r.String("vid", DefaultVid)
	var ok bool
	if o.vid, ok = parseVid(vid); !ok {
		r.Fail("vid", fmt.Sprintf("is %q: want INT64, or FIXED_STRING(n) with n from %d to %d", vid, leastVid, mostVid))
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
			r.Fail(fmt.Sprintf("addresses[%d]", i), "cannot be read: want the address of a graphd, such as graph-1:9669; TLS is switched on by the setting tls")
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
			r.Fail("ca", "holds no certificate: want PEM, such as ${file:/etc/graph/ca.pem}")
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
