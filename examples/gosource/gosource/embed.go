package gosource

import (
	"math"
	"strings"
	"unicode"

	"github.com/outflow-db/outflow/ast"
)

// Model is the name of the embeddings that this package makes, and Dimensions their length.
const (
	Model      = "hash-256"
	Dimensions = 256
)

// Embed is the vector of texts, each weighing as much as its weight: words are hashed to dimensions. It is
// nil if there is no word in them, or if they cancel each other out. The same function serves for queries.
func Embed(texts ...Weighted) ast.Vector {
	var sums [Dimensions]float64
	for _, t := range texts {
		eachWord(t.Text, func(word string) {
			sum := hash(word)
			sign := float64(int(sum>>32&1)*2 - 1)
			sums[sum%Dimensions] += sign * t.Weight
		})
	}
	return normal(&sums)
}

// hash is FNV-1a.
func hash(word string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * 1099511628211
	}
	return h
}

// Weighted is a text and what each of its words counts.
type Weighted struct {
	Text   string
	Weight float64
}

// normal is the vector with length 1.
func normal(sums *[Dimensions]float64) ast.Vector {
	var square float64
	for _, s := range sums {
		square += s * s
	}
	if square == 0 {
		return nil
	}
	v, length := make(ast.Vector, Dimensions), math.Sqrt(square)
	for i, s := range sums {
		v[i] = float32(s / length)
	}
	return v
}

// eachWord calls fn with the words of identifiers and prose, in lower case: readHTTPBody2 has read, http,
// body and 2. Words that every text has are left out.
func eachWord(text string, fn func(string)) {
	runes := []rune(text)
	for start := 0; start < len(runes); {
		end := start + 1
		class := classOf(runes[start])
		for end < len(runes) && joined(runes, end, class) {
			class = classOf(runes[end])
			end++
		}
		if class != none {
			if w := strings.ToLower(string(runes[start:end])); !common[w] {
				fn(w)
			}
		}
		start = end
	}
}

type class int

const (
	none class = iota
	lower
	upper
	digit
)

func classOf(r rune) class {
	switch {
	case unicode.IsDigit(r):
		return digit
	case unicode.IsUpper(r):
		return upper
	case unicode.IsLetter(r):
		return lower
	}
	return none
}

// joined says whether the rune at i goes on with the word before it: aB is two words, ABc is A and Bc.
func joined(runes []rune, i int, before class) bool {
	now := classOf(runes[i])
	switch {
	case now == none:
		return false
	case before == upper && now == lower:
		return true
	case now == upper && i+1 < len(runes) && classOf(runes[i+1]) == lower:
		return false // the next word begins
	}
	return now == before
}

var common = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq("a an and are as at be by for from if in is it its not of on or that the this to was which with func") {
		m[w] = true
	}
	return m
}()
