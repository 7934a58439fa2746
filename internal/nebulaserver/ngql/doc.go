// Package ngql reads nGQL 3.8: [Parse] makes statements of a text, or says what is wrong with it in the words
// of graphd.
//
// The lexer (lexer.go, literal.go) follows graphd's flex scanner to the byte, since what it does to string
// literals decides what a client must escape. The parser is a hand-written one over its tokens: one file for
// expressions, one for each family of statements. Expressions know their own text (expr_text.go), because
// graphd puts it into names of columns and into messages.
package ngql
