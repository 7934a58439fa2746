// Package progress shows how long work goes on: one line that is drawn again and again on a terminal, a line
// now and then anywhere else.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// How often the line is shown.
const (
	onTerminal = 100 * time.Millisecond
	elsewhere  = 5 * time.Second
)

// Line is one line of progress. Its methods may be called concurrently.
type Line struct {
	w     io.Writer
	width func() int // of the terminal
	text  func() string
	done  chan struct{}
	gone  chan struct{}

	mu    sync.Mutex
	shown string
}

// Start begins to show what text answers, until Stop; an empty text is no line. width is the terminal's width in columns, asked for each
// time; nil means that w is no terminal.
func Start(w io.Writer, width func() int, text func() string) *Line {
	l := &Line{w: w, width: width, text: text, done: make(chan struct{}), gone: make(chan struct{})}
	every := elsewhere
	if width != nil {
		every = onTerminal
	}
	go l.run(every)
	return l
}

func (l *Line) run(every time.Duration) {
	defer close(l.gone)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.mu.Lock()
			l.show()
			l.mu.Unlock()
		case <-l.done:
			return
		}
	}
}

// show draws the present text, if it is not what stands there. Failing writes have no one to be told to.
func (l *Line) show() {
	text := l.text()
	if text == l.shown {
		return
	}
	if l.width == nil {
		if l.shown = text; text != "" {
			fmt.Fprintln(l.w, text)
		}
		return
	}
	l.shown = text
	fmt.Fprint(l.w, "\r"+cut(text, l.width()-1)+"\x1b[K")
}

// Write lets other output pass above the line; p should end with a newline.
func (l *Line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	return l.w.Write(p)
}

// clear takes the line off the terminal until it is shown again.
func (l *Line) clear() {
	if l.width != nil && l.shown != "" {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.shown = ""
	}
}

// Stop shows the text for the last time and leaves it there. It is called once.
func (l *Line) Stop() {
	close(l.done)
	<-l.gone
	l.mu.Lock()
	defer l.mu.Unlock()
	l.show()
	if l.width != nil && l.shown != "" {
		fmt.Fprintln(l.w)
	}
}

// Bar is a bar of width columns for done of total, such as "███▌    ".
func Bar(done, total int64, width int) string {
	if total <= 0 || done < 0 {
		done, total = 0, 1
	}
	eighths := int(min(done, total) * int64(width) * 8 / total)
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return bar + strings.Repeat(" ", width-utf8.RuneCountInString(bar))
}

// cut keeps text within columns of the terminal.
func cut(text string, columns int) string {
	if runes := []rune(text); columns > 0 && len(runes) > columns {
		return string(runes[:columns])
	}
	return text
}
