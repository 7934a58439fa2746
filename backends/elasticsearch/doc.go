// Package elasticsearch is the backend for Elasticsearch 8: full-text search that is as true as PostgreSQL.
//
// A target is an alias, which readers use, over one index, its generation; see docs/elasticsearch.md. A
// record is one document: its _id is the key, its _version the record's version (external_gte), its source
// the JSON that PostgreSQL made with the record's digest put in front. Nothing is decoded on the way.
//
// Facts about the server that the code relies on were read off Elasticsearch 8.19; the tests run on one.
package elasticsearch
