package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

// nodes sends requests to the nodes of the cluster. A request that could not be sent, because a node does not take
// connections, goes to the next one; all else is for the engine to decide, because the request may have been carried
// out. The client's own pool is of no use here: to it a request that its caller gave up is a failure of the node, and
// a node that answers 503 is well.
type nodes struct {
	clients []*elastictransport.Client
	idle    func() // closes connections that are not in use
	set     *endpoints.Set
}

// nodes makes the clients, one for each address. It does not connect.
func (b *backend) newNodes(o options) (*nodes, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:     o.tls,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: keptPerNode,
		IdleConnTimeout:     time.Minute,
	}
	n := &nodes{idle: t.CloseIdleConnections}
	var addresses []string
	for _, u := range o.addresses {
		client, err := elastictransport.NewClient(append(o.choices(),
			elastictransport.WithURLs(u), elastictransport.WithTransport(t), elastictransport.WithDisableRetry())...)
		if err != nil {
			return nil, fmt.Errorf("making the client: %w", err)
		}
		n.clients, addresses = append(n.clients, client), append(addresses, u.String())
	}
	n.set = endpoints.New(endpoints.Config{
		Backend: b.name, Addresses: addresses, Ping: n.ping, Judge: sign, Unsent: notSent, Classify: b.classify, Log: b.log,
	})
	return n, nil
}

// Perform sends a request to the first node that is up.
func (n *nodes) Perform(req *http.Request) (res *http.Response, err error) {
	err = n.set.Do(req.Context(), func(ctx context.Context, i int) (err error) {
		r := req.Clone(ctx)
		if req.GetBody != nil { // a node before may have begun to read it
			if r.Body, err = req.GetBody(); err != nil {
				return fmt.Errorf("rewinding the body: %w", err)
			}
		}
		if res, err = n.clients[i].Perform(r); err != nil { //nolint:bodyclose // the caller closes it
			return err
		}
		return unwell(res)
	})
	if _, ok := errors.AsType[*unwellError](err); ok {
		return res, nil // what it says is for the caller
	}
	return res, err
}

// close closes the connections that are not in use. It can be called again.
func (n *nodes) close() error {
	var errs []error
	for _, c := range n.clients {
		if err := c.Close(context.Background()); !errors.Is(err, elastictransport.ErrAlreadyClosed) {
			errs = append(errs, err)
		}
	}
	n.idle()
	return errors.Join(errs...)
}

// ping asks a node whether it is one of a cluster with a master.
func (n *nodes) ping(ctx context.Context, i int) error {
	local := false
	res, err := esapi.ClusterHealthRequest{Local: &local, MasterTimeout: time.Second, FilterPath: []string{"status"}}.Do(ctx, n.clients[i])
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // the answer is there already
	if res.IsError() {
		return refused(res)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return err
}

// unwellError is an answer of a node that cannot serve.
type unwellError struct{ status int }

// Error is the status.
func (e *unwellError) Error() string {
	return fmt.Sprintf("HTTP status %d %s", e.status, http.StatusText(e.status))
}

// unwell is an *unwellError when the answer says that the node, and not something in the request or in an index, is
// why it does not serve. The answer can still be read.
func unwell(res *http.Response) error {
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return nil
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), res.Body), res.Body}
	if err != nil {
		return errors.Join(err, res.Body.Close())
	}
	var body struct {
		Error *cause `json:"error"`
	}
	if json.Unmarshal(head, &body) != nil || body.Error == nil { // a proxy, or a node that is about to begin or to end
		return &unwellError{res.StatusCode}
	}
	return signOf(&answerError{res.StatusCode, body.Error})
}

// signOf is an *unwellError for an answer of a node that cannot serve.
func signOf(e *answerError) error {
	switch {
	case e.typ() == "", e.typ() == "master_not_discovered_exception":
	case e.typ() == "cluster_block_exception" && (strings.Contains(e.cause.Reason, "no master") || strings.Contains(e.cause.Reason, "not recovered")):
	default:
		return nil
	}
	return &unwellError{e.status}
}

// sign is what an error says of the node.
func sign(err error) endpoints.Sign {
	if e, ok := errors.AsType[*answerError](err); ok { // of a ping
		if e.status < http.StatusBadGateway || signOf(e) == nil {
			return endpoints.Sound
		}
		return endpoints.Faulty
	}
	if errors.Is(err, errNotElasticsearch) || distrust(err) != "" {
		return endpoints.Sound // it is there, and will not be well by itself
	}
	return endpoints.Faulty
}

// Endpoints are the nodes of the setting addresses.
func (b *backend) Endpoints() []backends.Endpoint { return b.nodes.set.List() }

// Probe asks a node for the cluster's state.
func (b *backend) Probe(ctx context.Context, address string) error {
	return b.nodes.set.Probe(ctx, address)
}
