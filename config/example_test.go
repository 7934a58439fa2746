package config_test

import (
	"fmt"

	"github.com/outflow-db/outflow/config"
)

// Every problem is reported at once, with its line and column.
func ExampleParse() {
	_, err := config.Parse("outflow.yaml", []byte(`
database: postgres://localhost/shop
worker:
  lease: 15
kinds:
  order: {table: shop.orders, keys: id}
projections:
  - {kind: ordr, backend: search, target: orders, query: select * from shop.orders}
`), nil)
	fmt.Println(err)
	// Output:
	// outflow.yaml:4:10: worker.lease: want a time span of at least 1s, such as 10s, have "15"
	// outflow.yaml:6:31: kinds.order: unknown field "keys" (did you mean key?): want dependants, history, key, list, per_row, table
	// outflow.yaml:8:12: projections[0].kind: unknown kind "ordr" (did you mean order?): have order
	// outflow.yaml:8:27: projections[0].backend: unknown backend "search": there is none
	// outflow.yaml:8:58: projections[0].query: the query does not use $1, the keys as text[]
}
