package faults

import (
	"bytes"
	"sync"
	"time"
)

// shape is how bytes travel that do arrive.
type shape struct {
	latency, jitter time.Duration
	loss            float64
	rate            int // bytes a second; 0: any number
}

// retransmission is about how long TCP waits before it sends again what was lost.
const retransmission = 200 * time.Millisecond

// mostChunk is how many bytes are passed on at once.
const mostChunk = 32 << 10

// chunk is how many bytes shall be passed on at once, so that none waits for much longer than a tenth of a second.
func (s shape) chunk() int {
	if s.rate == 0 {
		return mostChunk
	}
	return min(max(s.rate/10, 1), mostChunk)
}

// delay is how long n bytes take, by two random numbers from 0 to 1: one for the jitter, one for the loss.
func (s shape) delay(n int, jitter, loss float64) time.Duration {
	d := s.latency + time.Duration(jitter*float64(s.jitter))
	if loss < s.loss {
		d += retransmission
	}
	if s.rate > 0 {
		d += time.Duration(n) * time.Second / time.Duration(s.rate)
	}
	return d
}

// SetLatency delays everything that is sent, each way.
func (p *Proxy) SetLatency(d time.Duration) { p.set(func() { p.shape.latency = d }) }

// SetJitter delays everything that is sent by a random time up to d, besides the latency.
func (p *Proxy) SetJitter(d time.Duration) { p.set(func() { p.shape.jitter = d }) }

// SetLoss loses a share of what is sent, from 0 to 1. Programs see loss as a pause: TCP sends again what was lost.
func (p *Proxy) SetLoss(share float64) { p.set(func() { p.shape.loss = share }) }

// SetRate passes on so many bytes a second and connection, each way, as a slow line or a slow reader does; 0 ends it.
func (p *Proxy) SetRate(bytes int) { p.set(func() { p.shape.rate = bytes }) }

// CutAfter cuts all connections when n more bytes have gone to clients, in the middle of an answer.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.left[toClient] = n }) }

// CutRequestAfter cuts all connections when n more bytes have come for the server, in the middle of a request.
func (p *Proxy) CutRequestAfter(n int64) { p.set(func() { p.left[toServer] = n }) }

// Cut cuts all connections. New ones are taken.
func (p *Proxy) Cut() { p.set(p.cut) }

// Freeze lets nothing through any more, as a black hole does: connections stay open and new ones are taken. What is
// sent meanwhile arrives after Thaw.
func (p *Proxy) Freeze() { p.set(func() { p.freeze(toServer); p.freeze(toClient) }) }

// Deafen is Freeze for what the server sends: requests arrive, answers do not. A connection is half open so.
func (p *Proxy) Deafen() { p.set(func() { p.freeze(toClient) }) }

// FreezeAt is Freeze as soon as a request comes that holds text. The request itself arrives after Thaw.
func (p *Proxy) FreezeAt(text string) { p.set(func() { p.freezes = []byte(text) }) }

// freeze lets nothing through one way. The caller holds the lock.
func (p *Proxy) freeze(w way) {
	if p.frozen[w] == nil {
		p.frozen[w] = make(chan struct{})
	}
}

// Frozen says whether nothing gets through to the server.
func (p *Proxy) Frozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen[toServer] != nil
}

// Thaw ends Freeze, FreezeAt and Deafen.
func (p *Proxy) Thaw() {
	p.set(func() {
		p.freezes = nil
		for w, frozen := range p.frozen {
			if frozen != nil {
				close(frozen)
			}
			p.frozen[w] = nil
		}
	})
}

// Refuse closes new connections at once, or, with false, takes them again. Unlisten refuses them before they are there.
func (p *Proxy) Refuse(yes bool) { p.set(func() { p.refuse = yes }) }

// LoseAnswer cuts the next connection on which a request that holds text was answered, before the answer gets through.
func (p *Proxy) LoseAnswer(text string) { p.set(func() { p.loses = []byte(text) }) }

// Lost is how many answers were lost so.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Answered is how many parts of answers have come from the server.
func (p *Proxy) Answered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered
}

// Heal ends everything that is wrong with connections. It does not listen again.
func (p *Proxy) Heal() {
	p.Thaw()
	p.set(func() { p.shape, p.left, p.refuse, p.loses = shape{}, [ways]int64{-1, -1}, false, nil })
}

// request is what a client has sent since the last answer.
type request struct {
	mu   sync.Mutex
	text []byte
}

func (r *request) see(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, b...)
}

func (r *request) holds(text []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return text != nil && bytes.Contains(r.text, text)
}

func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = r.text[:0]
}
