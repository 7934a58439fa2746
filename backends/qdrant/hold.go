package qdrant

import (
	"fmt"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// longestHold bounds what a server may ask for: it is one that limits writes per minute.
const longestHold = time.Minute

// wait keeps writes back for as long as the server asks. Nobody sleeps: they fail at once, and the engine waits.
func (b *backend) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = b.now().Add(min(d, longestHold))
}

// held is an error while writes are kept back.
func (b *backend) held() error {
	b.mu.Lock()
	left := b.hold.Sub(b.now())
	b.mu.Unlock()
	if left <= 0 {
		return nil
	}
	e := b.fail("write", backends.Overload, fmt.Errorf("the server asks for no writes during the next %s", left.Round(time.Second/10)))
	e.Advice = adviceRate
	return e
}
