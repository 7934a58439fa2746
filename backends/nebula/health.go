package nebula

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
)

const healthTimeout = 5 * time.Second

// Health asks for the hosts that keep the data. None that is online is an error; that some are not, or lead no
// partition, is said in the log when it changes.
func (b *backend) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	data, err := b.pool.read(ctx, anywhere, "SHOW HOSTS")
	if err != nil {
		return b.classify("health", err)
	}
	return b.judgeHosts(ctx, data)
}

// judgeHosts looks at the hosts that the server tells.
func (b *backend) judgeHosts(ctx context.Context, data *nebula.DataSet) error {
	online, trouble, version := 0, []string{}, ""
	for _, row := range values(data, 6) {
		host := fmt.Sprintf("%s:%d", text(row[0]), integer(row[1]))
		up := text(row[2]) == "ONLINE"
		if up {
			online++
		}
		switch {
		case !up:
			trouble = append(trouble, host+" is "+strings.ToLower(text(row[2])))
		case integer(row[3]) == 0 && !strings.HasPrefix(text(row[5]), "No valid"):
			trouble = append(trouble, host+" leads no partition: SUBMIT JOB BALANCE LEADER")
		}
		if len(row) > 6 {
			version = text(row[6])
		}
	}
	b.tell(ctx, online, trouble, version)
	if online > 0 {
		return nil
	}
	e := b.fail("health", backends.Transient, errors.New("no storage host is online: "+strings.Join(trouble, "; ")))
	e.Advice = "look at the storaged processes; a new cluster needs ADD HOSTS"
	return e
}

// tell logs what changed among the hosts.
func (b *backend) tell(ctx context.Context, online int, trouble []string, version string) {
	now := fmt.Sprint(online, trouble, version)
	b.mu.Lock()
	same := b.hosts == now
	b.hosts = now
	b.mu.Unlock()
	if same {
		return
	}
	busy, idle := b.pool.inUse()
	attrs := []any{"backend", b.name, "online", online, "version", version, "sessions_busy", busy, "sessions_idle", idle}
	if len(trouble) > 0 {
		b.log.WarnContext(ctx, "storage hosts are in trouble", append(attrs, "trouble", strings.Join(trouble, "; "))...)
		return
	}
	b.log.InfoContext(ctx, "storage hosts are online", attrs...)
}
