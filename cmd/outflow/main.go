// Command outflow runs the outbox engine and answers for it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(process()) }

// grace is how long signals after the first one are taken for the same: make, timeout and terminals may send it
// to the process and to its group.
const grace = time.Second

// process runs the command line of this process and is its exit status. The first signal asks the verb to end
// well, a second one ends the process.
func process() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, stop) })
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, width: widthOf(os.Stderr)}
	return a.run(ctx, os.Args[1:])
}
