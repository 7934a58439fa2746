package faults_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/outflow-db/outflow/integration/faults"
	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) {
	faults.Worker()
	os.Exit(pgtest.Main(estest.Stopping(m)))
}

// echo is a server that sends every line back.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// line is a connection that sends lines and reads them back.
type line struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *faults.Proxy) *line {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &line{c, bufio.NewReader(c)}
}

func (l *line) ask(text string) (string, error) {
	if _, err := l.Write([]byte(text + "\n")); err != nil {
		return "", err
	}
	answer, err := l.in.ReadString('\n')
	return answer, err
}

// By default a proxy changes nothing, with latency neither.
func TestPass(t *testing.T) {
	t.Parallel()
	p := faults.New(t, echo(t))
	l := dial(t, p)
	for range 2 {
		if answer, err := l.ask("hello"); answer != "hello\n" || err != nil {
			t.Fatalf("got %q, %v", answer, err)
		}
		p.SetLatency(time.Millisecond)
	}
}

// Open connections end at once with Cut, and after their bytes with CutAfter; new ones work.
func TestCut(t *testing.T) {
	t.Parallel()
	p := faults.New(t, echo(t))
	l := dial(t, p)
	if _, err := l.ask("one"); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if _, err := l.ask("two"); err == nil {
		t.Fatal("the connection was not cut")
	}
	p.CutAfter(6)
	l = dial(t, p)
	if _, err := l.ask("three"); err != nil {
		t.Fatalf("cut too early: %v", err)
	}
	if _, err := l.ask("four"); err == nil {
		t.Fatal("the connection was not cut after its bytes")
	}
	if _, err := dial(t, p).ask("five"); err != nil {
		t.Fatalf("a new connection: %v", err)
	}
}

// Nothing gets through a frozen proxy until it is thawed.
func TestFreeze(t *testing.T) {
	t.Parallel()
	p := faults.New(t, echo(t))
	for _, freeze := range []func(){p.Freeze, func() { p.FreezeAt("one") }} {
		l := dial(t, p)
		freeze()
		l.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := l.ask("one"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v, want no answer", err)
		}
		l.SetReadDeadline(time.Time{})
		p.Thaw()
		if answer, err := l.in.ReadString('\n'); answer != "one\n" || err != nil {
			t.Fatalf("got %q, %v", answer, err)
		}
	}
}

// A refused connection is closed without an answer.
func TestRefuse(t *testing.T) {
	t.Parallel()
	p := faults.New(t, echo(t))
	p.Refuse(true)
	if answer, err := dial(t, p).ask("one"); err == nil {
		t.Fatalf("got %q", answer)
	}
	p.Refuse(false)
	if _, err := dial(t, p).ask("two"); err != nil {
		t.Fatal(err)
	}
}

// The answer to the chosen request is lost, once.
func TestLoseAnswer(t *testing.T) {
	t.Parallel()
	p := faults.New(t, echo(t))
	p.LoseAnswer("write")
	l := dial(t, p)
	if _, err := l.ask("read"); err != nil {
		t.Fatal(err)
	}
	if answer, err := l.ask("write"); err == nil || p.Lost() != 1 {
		t.Fatalf("got %q, %d lost", answer, p.Lost())
	}
	if _, err := dial(t, p).ask("write"); err != nil {
		t.Fatal(err)
	}
}
