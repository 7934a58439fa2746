package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/outflow-db/outflow/alerts"
)

// AlertArgs asks for a message to be delivered to a webhook. It names the webhook; its address and what goes with it
// are in the configuration of the process that delivers.
type AlertArgs struct {
	Webhook string         `json:"webhook"`
	Message alerts.Message `json:"message"`
}

// Kind names the job in River.
func (AlertArgs) Kind() string { return "alert" }

// alertFor is how long a message is tried for: what it says is old then, and a reminder follows anyway.
const alertFor = 6 * time.Hour

func alertOpts() *river.InsertOpts {
	return &river.InsertOpts{Queue: maintenance, MaxAttempts: 100, Tags: []string{"alert"}}
}

// alertWorker works alert jobs.
type alertWorker struct {
	river.WorkerDefaults[AlertArgs]
	e      *Engine
	sender *alerts.Sender
}

// Timeout is longer than one delivery may take.
func (a *alertWorker) Timeout(*river.Job[AlertArgs]) time.Duration { return 30 * time.Second }

// NextRetry is within seconds at first, and within minutes later.
func (a *alertWorker) NextRetry(job *river.Job[AlertArgs]) time.Time {
	return time.Now().Add(verifyBackoff(job.Attempt, random()))
}

// Work delivers the message once. A webhook that this process does not know may be known to another.
func (a *alertWorker) Work(ctx context.Context, job *river.Job[AlertArgs]) error {
	old := time.Since(job.CreatedAt) > alertFor
	hook, known := a.e.c.Alerts.Webhook(job.Args.Webhook)
	switch {
	case !known && old:
		return river.JobCancel(fmt.Errorf("no worker has a webhook %q in its configuration", job.Args.Webhook))
	case !known:
		return river.JobSnooze(10 * time.Second)
	}
	err := a.sender.Send(ctx, hook, job.Args.Message)
	if err != nil && old {
		return river.JobCancel(err)
	}
	return err
}

// lookForAlerts looks for alerts until ctx ends.
func (e *Engine) lookForAlerts(ctx context.Context) {
	look := alerts.NewLookout(e.c.Pool, e.c.Alerts, e.log, func(ctx context.Context, tx pgx.Tx, webhook string, m alerts.Message) error {
		_, err := e.client.InsertTx(ctx, tx, AlertArgs{webhook, m}, alertOpts())
		return err
	})
	told := ""
	_ = every(ctx, e.c.Alerts.Every, func(ctx context.Context) error { // it never fails
		limited, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the database took longer than a minute"))
		defer cancel()
		err := look.Look(limited)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			e.log.WarnContext(ctx, "looking for alerts failed", "error", err)
		}
		return nil
	})
}
