package postgres

import (
	"time"

	"github.com/outflow-db/outflow/backends"
)

func init() {
	column := func(about string) backends.Setting { return backends.Setting{Shape: backends.Text, About: about} }
	backends.Describe(Type, backends.Settings{
		Backend: map[string]backends.Setting{
			"url":         {Shape: backends.Text, About: "The address of the database, which may hold the password. Default: the main database."},
			"password":    {Shape: backends.Text, About: "The password. Default: that of the url."},
			"schema":      {Shape: backends.Text, About: "Where the tables and functions are. Default: readmodel."},
			"connections": {Shape: backends.Whole, Least: 1, Most: 1000, About: "At most this many connections from one process. Default: 4."},
			"tombstones":  {Shape: backends.Span, AtLeast: time.Hour, About: "How long a deleted key is remembered: longer than the retention of the log. Default: 192h."},
		},
		Target: map[string]backends.Setting{
			"text":       backends.ListOf("Columns that search looks in, the most important first.", column("")),
			"language":   {Shape: backends.Text, Pattern: `^[a-z]{1,40}$`, Want: "simple, or a language of PostgreSQL's text search, such as english", About: "Whose word forms search knows. Default: english."},
			"vector":     column("A column of type real[] by which nearest compares."),
			"dimensions": {Shape: backends.Whole, Most: maxDimensions, About: "The length of every vector. Default: any."},
			"edge": {Shape: backends.Mapping, Required: []string{"from", "to"}, About: "The record is an edge between two keys.", Fields: map[string]backends.Setting{
				"from": column("The column with the key that it leaves."),
				"to":   column("The column with the key that it reaches."),
				"type": column("The column with its type."),
			}},
		},
	})
}
