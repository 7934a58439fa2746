// Package sql is an example: a producer in plain SQL, producer.sql.
package sql
