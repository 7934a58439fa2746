package elasticsearch

import (
	"compress/gzip"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

	"github.com/outflow-db/outflow/internal/flow"
	"github.com/outflow-db/outflow/internal/settings"
)

// What the settings are when they are not given.
const (
	DefaultAddress  = "http://127.0.0.1:9200"
	DefaultRequests = 2
)

const (
	dialTimeout = 3 * time.Second
	keptPerNode = 32 // idle connections; Go's own default of 2 would dial anew for most requests
)

// bounds are those of a request's body. The server's own limit is http.max_content_length, 100 MB; its guide advises
// "a couple tens of megabytes" at most.
var bounds = flow.Bounds{
	Least: 64 << 10, First: 2 << 20, Most: maxBytes,
	Fast: 250 * time.Millisecond, Slow: 2 * time.Second,
}

// options are the backend's settings.
type options struct {
	addresses                             []*url.URL
	username, password, apiKey, tokenText string
	prefix                                string
	compression                           bool
	requests                              int
	tls                                   *tls.Config
}

// readOptions reads the settings addresses, username, password, api_key, service_token, prefix, compression,
// requests and tls. It never repeats an address with a password in it, nor any other secret.
func readOptions(values map[string]any) (options, error) {
	r := settings.New(values)
	o := options{
		username: r.String("username", ""), password: r.String("password", ""),
		apiKey: r.String("api_key", ""), tokenText: r.String("service_token", ""),
		prefix:      r.String("prefix", ""),
		compression: r.Bool("compression", false),
		requests:    r.Int("requests", DefaultRequests, 1, 64),
	}
	o.readAddresses(r)
	o.checkCredentials(r)
	r.Map("tls", o.readTLS)
	if o.prefix != "" && !validName(o.prefix+"x") {
		r.Fail("prefix", "cannot begin the name of an index: want small letters, digits, . _ and -, beginning with a letter or digit")
	}
	return o, r.Err()
}

func (o *options) readAddresses(r *settings.Reader) {
	list := r.Strings("addresses")
	if len(list) == 0 {
		list = []string{DefaultAddress}
	}
	for i, text := range list {
		u, err := url.Parse(strings.TrimRight(text, "/"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			r.Fail(fmt.Sprintf("addresses[%d]", i), "cannot be read: want the address of a node, such as https://search-1:9200")
			continue
		}
		if u.User != nil {
			if o.username == "" {
				o.username = u.User.Username()
				o.password, _ = u.User.Password()
			}
			u.User = nil
		}
		o.addresses = append(o.addresses, u)
	}
}

// checkCredentials wants one way to log in.
func (o *options) checkCredentials(r *settings.Reader) {
	var ways []string
	for _, w := range [][2]string{{"username", o.username}, {"api_key", o.apiKey}, {"service_token", o.tokenText}} {
		if w[1] != "" {
			ways = append(ways, w[0])
		}
	}
	if len(ways) > 1 {
		r.Fail(ways[1], "cannot go with "+ways[0]+": there is one way to log in")
	}
	if (o.username == "") != (o.password == "") {
		r.Fail("password", "goes with username: give both or none")
	}
}

// readTLS reads the settings ca, fingerprint, certificate and key, all but the fingerprint as PEM.
func (o *options) readTLS(r *settings.Reader) {
	o.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca := r.String("ca", ""); ca != "" {
		o.tls.RootCAs = x509.NewCertPool()
		if !o.tls.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			r.Fail("ca", "holds no certificate: want PEM, such as ${file:/etc/search/ca.pem}")
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
	if text := r.String("fingerprint", ""); text != "" {
		o.pin(r, text)
	}
}

// pin trusts a server by the SHA-256 of a certificate in its chain, as Elasticsearch shows it at its first
// start, instead of by an authority.
func (o *options) pin(r *settings.Reader, text string) {
	want, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(want) != sha256.Size {
		r.Fail("fingerprint", "cannot be read: want the SHA-256 of a certificate, 64 hexadecimal digits")
		return
	}
	o.tls.InsecureSkipVerify = true // VerifyConnection takes its place
	o.tls.VerifyConnection = func(state tls.ConnectionState) error {
		for _, c := range state.PeerCertificates {
			if sum := sha256.Sum256(c.Raw); string(sum[:]) == string(want) {
				return nil
			}
		}
		return errFingerprint
	}
}

var errFingerprint = errors.New("no certificate of the server has the fingerprint that is configured")

// choices are how the client shows who it is and packs its requests.
func (o *options) choices() (list []elastictransport.Option) {
	if o.username != "" {
		list = append(list, elastictransport.WithBasicAuth(o.username, o.password))
	}
	if o.apiKey != "" {
		list = append(list, elastictransport.WithAPIKey(o.apiKey))
	}
	if o.tokenText != "" {
		list = append(list, elastictransport.WithServiceToken(o.tokenText))
	}
	if o.compression {
		list = append(list, elastictransport.WithCompression(gzip.BestSpeed))
	}
	return list
}

// notSent says whether the error came before anything of a request was sent.
func notSent(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}
