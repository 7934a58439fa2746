package stores

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/pprof"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// Whose code time was spent in.
const (
	own      = "Outflow's own"
	client   = "the store's client"
	database = "PostgreSQL's client and River"
	standIn  = "the stand-in"
	rest     = "runtime and others"
)

// packages say whose code a function is by its name. What is called from there and is in none of them, such as the
// reading of JSON, is of the one that calls it.
var packages = []struct{ prefix, whose string }{
	{"github.com/outflow-db/outflow/internal/nebulaserver", standIn},
	{"github.com/outflow-db/outflow/internal/benches/", ""},
	{"github.com/outflow-db/outflow/", own},
	{"github.com/vesoft-inc/", client},
	{"github.com/jackc/", database},
	{"github.com/riverqueue/", database},
}

// whose is whose code a stack of functions is in, the innermost first. All that a stand-in's goroutine does is the
// stand-in's, its half of the generated code, too.
func whose(stack []string) string {
	found := rest
	for _, f := range slices.Backward(stack) {
		for _, p := range packages {
			if !strings.HasPrefix(f, p.prefix) {
				continue
			}
			if p.whose == standIn {
				return standIn
			}
			if p.whose != "" {
				found = p.whose
			}
			break
		}
	}
	return found
}

// profile is a processor profile under way.
type profile struct {
	buf  bytes.Buffer
	none error // why there is none: another one may be under way
}

func startProfile() *profile {
	p := &profile{}
	p.none = pprof.StartCPUProfile(&p.buf)
	return p
}

// stop ends it. Without one the shares are empty.
func (p *profile) stop() (shares, error) {
	if p.none != nil {
		return shares{}, nil //nolint:nilerr // it is told by rows that were not measured
	}
	pprof.StopCPUProfile()
	r, err := gzip.NewReader(&p.buf)
	if err != nil {
		return nil, fmt.Errorf("reading the profile: %w", err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the profile: %w", err)
	}
	return sharesOf(raw)
}

// shares are samples by whose code they were in.
type shares map[string]int64

// rows tells the share of Outflow's own code: of all, and of what a worker does whose store is elsewhere.
func (s shares) rows(name string) []lab.Row {
	total := int64(0)
	for _, n := range s {
		total += n
	}
	share := func(n, of int64) float64 {
		if of == 0 {
			return math.NaN()
		}
		return 100 * float64(n) / float64(of)
	}
	parts := make([]string, 0, len(s))
	for _, w := range []string{standIn, own, client, database, rest} {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", w, share(s[w], total)))
	}
	return []lab.Row{
		lab.Fact(name+", time in Outflow's own code, of all", share(s[own], total), "%").With(strings.Join(parts, ", ")),
		lab.Fact(name+", time in Outflow's own code, of what is neither the stand-in's nor the runtime's", share(s[own], s[own]+s[client]+s[database]), "%"),
	}
}

// sharesOf reads a profile as package pprof writes it (profile.proto of github.com/google/pprof).
func sharesOf(raw []byte) (shares, error) {
	f, err := readProfile(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the profile: %w", err)
	}
	s := shares{}
	for _, sample := range f.samples {
		var stack []string
		for _, at := range sample.stack {
			for _, id := range f.lines[at] {
				if name := f.names[id]; name < uint64(len(f.texts)) {
					stack = append(stack, f.texts[name])
				}
			}
		}
		s[whose(stack)] += sample.count
	}
	return s, nil
}

// profileFile is what is needed of a profile.
type profileFile struct {
	samples []profileSample
	lines   map[uint64][]uint64 // functions of a location, the innermost first
	names   map[uint64]uint64   // of functions, in texts
	texts   []string
}

type profileSample struct {
	stack []uint64 // locations
	count int64
}

func readProfile(raw []byte) (*profileFile, error) {
	f := &profileFile{lines: map[uint64][]uint64{}, names: map[uint64]uint64{}}
	err := fields(raw, func(field int, _ uint64, message []byte) error {
		switch field {
		case 2:
			return f.sample(message)
		case 4:
			return f.location(message)
		case 5:
			return f.function(message)
		case 6:
			f.texts = append(f.texts, string(message))
		}
		return nil
	})
	return f, err
}

func (f *profileFile) sample(raw []byte) error {
	s := profileSample{count: -1}
	err := fields(raw, func(field int, n uint64, packed []byte) error {
		list, err := numbers(n, packed)
		switch {
		case field == 1:
			s.stack = append(s.stack, list...)
		case field == 2 && s.count < 0 && len(list) > 0:
			s.count = int64(list[0]) //nolint:gosec // a number of samples
		}
		return err
	})
	f.samples = append(f.samples, s)
	return err
}

func (f *profileFile) location(raw []byte) error {
	var id uint64
	var functions []uint64
	err := fields(raw, func(field int, n uint64, line []byte) error {
		switch field {
		case 1:
			id = n
		case 4:
			return fields(line, func(field int, n uint64, _ []byte) error {
				if field == 1 {
					functions = append(functions, n)
				}
				return nil
			})
		}
		return nil
	})
	f.lines[id] = functions
	return err
}

func (f *profileFile) function(raw []byte) error {
	var id, name uint64
	err := fields(raw, func(field int, n uint64, _ []byte) error {
		switch field {
		case 1:
			id = n
		case 2:
			name = n
		}
		return nil
	})
	f.names[id] = name
	return err
}

// fields calls fn for each field of a message: a number, or bytes.
func fields(raw []byte, fn func(field int, n uint64, message []byte) error) error {
	for len(raw) > 0 {
		field, typ, used := protowire.ConsumeTag(raw)
		if used < 0 {
			return protowire.ParseError(used)
		}
		raw = raw[used:]
		var n uint64
		var message []byte
		switch typ {
		case protowire.VarintType:
			n, used = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			message, used = protowire.ConsumeBytes(raw)
		default:
			return errors.New("a field of another type than profiles have")
		}
		if used < 0 {
			return protowire.ParseError(used)
		}
		raw = raw[used:]
		if err := fn(int(field), n, message); err != nil {
			return err
		}
	}
	return nil
}

// numbers are those of a repeated field: packed, or one.
func numbers(n uint64, packed []byte) (list []uint64, err error) {
	if packed == nil {
		return []uint64{n}, nil
	}
	for len(packed) > 0 {
		v, used := protowire.ConsumeVarint(packed)
		if used < 0 {
			return nil, protowire.ParseError(used)
		}
		list, packed = append(list, v), packed[used:]
	}
	return list, nil
}
