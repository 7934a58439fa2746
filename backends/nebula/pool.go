package nebula

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/endpoints"
)

const (
	// idleCheck is after how long a connection is looked at before it is used: a statement that is sent over one that
	// is dead has an outcome that nobody knows.
	idleCheck = 5 * time.Second
	// renewals is how often a session that the server has forgotten is made anew for one statement.
	renewals = 3
	// logins is how often one is tried: 3.8.0 gives the same id to two sessions of one microsecond, and refuses one.
	logins = 5
)

var errClosed = errors.New("the backend is closed")

// pool keeps sessions. It is safe for concurrent use. A statement is sent once: only when the server says that it had
// no session for it, and so has not looked at it, is it sent over another.
type pool struct {
	options options
	set     *endpoints.Set
	use     []byte
	slots   chan struct{} // one for each session that may be in use in the space
	turn    chan struct{} // one logs in at a time

	mu      sync.Mutex
	idle    []*conn // the one used last at the end
	orphans []int64 // sessions whose connection is gone
	era     int     // counts how often the space was found to be gone, from 1
	closed  bool
}

// newPool makes a pool without sessions. c says whose it is.
func newPool(o options, c endpoints.Config) *pool {
	p := &pool{
		options: o, slots: make(chan struct{}, o.sessions), turn: make(chan struct{}, 1),
		use: ngql.AppendName([]byte("USE "), o.space), era: 1,
	}
	c.Addresses, c.Judge, c.Ping = o.addresses, sign, p.ping
	c.Unsent = func(err error) bool { return !denied(err) } // of logins only: another server may take one
	p.set = endpoints.New(c)
	return p
}

// sign is what an error says of the graphd.
func sign(err error) endpoints.Sign {
	lost, ok := errors.AsType[*lostError](err)
	switch {
	case !ok, distrust(lost.Error()) != "":
		return endpoints.Sound // it is there
	case errors.Is(lost.err, errClosed):
		return endpoints.Silent
	}
	return endpoints.Faulty
}

// ping asks a graphd for an answer, whatever it is, over a connection of its own and without a session.
func (p *pool) ping(ctx context.Context, i int) error {
	c, err := dial(ctx, p.options.addresses[i], p.options.tls)
	if err != nil {
		return err
	}
	defer c.net.Close() //nolint:errcheck // the answer is there already
	return c.echo(ctx)
}

// where is what a statement needs of its session.
type where bool

const (
	anywhere where = false
	inSpace  where = true
)

// write runs a statement, once.
func (p *pool) write(ctx context.Context, stmt []byte) (*nebula.DataSet, error) {
	return p.run(ctx, inSpace, stmt)
}

// read runs a statement that changes nothing: a second time if the answer to the first is lost.
func (p *pool) read(ctx context.Context, w where, stmt string) (*nebula.DataSet, error) {
	data, err := p.run(ctx, w, []byte(stmt))
	if lost, ok := errors.AsType[*lostError](err); ok && lost.sent && ctx.Err() == nil {
		data, err = p.run(ctx, w, []byte(stmt))
	}
	if lost, ok := errors.AsType[*lostError](err); ok && ctx.Err() == nil {
		err = &lostError{err: lost.err} // nothing is in doubt
	}
	return data, err
}

func (p *pool) run(ctx context.Context, w where, stmt []byte) (*nebula.DataSet, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.timeout)
	defer cancel()
	if w == inSpace { // what is asked of the cluster, such as its health, does not wait for writes
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-ctx.Done():
			return nil, &lostError{err: ctx.Err()}
		}
	}
	for tries := 1; ; tries++ {
		c, err := p.ready(ctx, w)
		var data *nebula.DataSet
		if err == nil {
			data, err = p.execute(ctx, c, stmt)
			p.back(c, err)
		}
		if !forgotten(err) || tries == renewals {
			return data, err
		}
	}
}

// execute runs a statement once, and learns of the server from the outcome.
func (p *pool) execute(ctx context.Context, c *conn, stmt []byte) (*nebula.DataSet, error) {
	done := p.set.At(ctx, c.node)
	data, err := c.execute(ctx, stmt)
	done(err)
	return data, err
}

// forgotten says whether the server had no session for a statement. The login's own error is none.
func forgotten(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && (e.code == nebula.ErrorCode_E_SESSION_INVALID || e.code == nebula.ErrorCode_E_SESSION_TIMEOUT)
}

// back puts a connection back after an answer, or ends it.
func (p *pool) back(c *conn, err error) {
	if _, lost := errors.AsType[*lostError](err); lost {
		p.gone(c)
		return
	}
	first := p.set.First()
	p.mu.Lock()
	if c.era == p.era && says(err, "SpaceNotFound", "Space not") {
		p.era++ // what comes back by this name is another space, for all sessions
	}
	keep := !p.closed && !forgotten(err) && (c.node == first || first < 0) // the preferred server may be back
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.leave()
	}
}

// gone notes that a connection broke. Its session goes on until somebody ends it; idle connections to the same
// server are likely to be gone as well.
func (p *pool) gone(c *conn) {
	_ = c.net.Close() // it is of no use
	p.mu.Lock()
	var same []*conn
	kept := p.idle[:0]
	for _, other := range p.idle {
		if other.address == c.address {
			same = append(same, other)
		} else {
			kept = append(kept, other)
		}
	}
	p.idle = kept
	for _, dead := range append(same, c) {
		if len(p.orphans) < cap(p.slots) {
			p.orphans = append(p.orphans, dead.session)
		}
	}
	p.mu.Unlock()
	for _, dead := range same {
		_ = dead.net.Close()
	}
}

// ready is a connection whose session is where the statement wants it.
func (p *pool) ready(ctx context.Context, w where) (*conn, error) {
	c, err := p.take(ctx)
	if err != nil || w == anywhere {
		return c, err
	}
	p.mu.Lock()
	era := p.era
	p.mu.Unlock()
	if c.era == era {
		return c, nil
	}
	if _, err := p.execute(ctx, c, p.use); err != nil {
		p.back(c, err)
		if lost, ok := errors.AsType[*lostError](err); ok {
			err = &lostError{err: lost.err} // the statement itself was not sent
		}
		return nil, err
	}
	c.era = era
	return c, nil
}

// take is an idle connection to the first server that is up, if it is alive, or a new one.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		first := p.set.First()
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, &lostError{err: errClosed}
		}
		n := len(p.idle) - 1
		for n >= 0 && p.idle[n].node != first {
			n--
		}
		if n < 0 {
			p.mu.Unlock()
			return p.connect(ctx)
		}
		c := p.idle[n]
		p.idle = slices.Delete(p.idle, n, n+1)
		p.mu.Unlock()
		if time.Since(c.used) < idleCheck || c.alive(ctx) {
			return c, nil
		}
		p.gone(c)
	}
}

// connect begins a session with the first server that is up and takes one.
func (p *pool) connect(ctx context.Context) (c *conn, err error) {
	err = p.set.Do(ctx, func(ctx context.Context, i int) (err error) {
		if c, err = dial(ctx, p.options.addresses[i], p.options.tls); err != nil {
			return err
		}
		c.node = i
		if err = p.login(ctx, c); err != nil {
			_ = c.net.Close() // there is no session
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// denied says whether another server would say the same.
func denied(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.code == nebula.ErrorCode_E_BAD_USERNAME_PASSWORD
}

// login begins a session, one at a time. What the server refuses for the moment is a sessionsError.
func (p *pool) login(ctx context.Context, c *conn) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return &lostError{err: ctx.Err()}
	}
	var err error
	for range logins {
		err = c.login(ctx, p.options.user, p.options.password)
		if !forgotten(err) {
			break
		}
		err = &sessionsError{err}
		select { // so that two processes come apart
		case <-time.After(time.Millisecond + rand.N(10*time.Millisecond)):
		case <-ctx.Done():
			return &lostError{err: ctx.Err()}
		}
	}
	if err == nil {
		p.signOut(c)
	}
	return err
}

// sessionsError is a session that could not be had. It hides the server's code, which elsewhere says that a session is
// gone.
type sessionsError struct{ err error }

// Error is what the server says.
func (e *sessionsError) Error() string { return "a session could not be had: " + e.err.Error() }

// signOut ends sessions that lost their connection, and with them what still runs in them.
func (p *pool) signOut(c *conn) {
	p.mu.Lock()
	orphans := p.orphans
	p.orphans = nil
	p.mu.Unlock()
	for _, session := range orphans {
		_ = c.client.Signout(session) // the server ends it by itself in the end
	}
}

// close ends all sessions: those in use when they come back.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.leave()
	}
}

// inUse is how many sessions run a statement now, and how many are idle.
func (p *pool) inUse() (busy, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.slots), len(p.idle)
}
