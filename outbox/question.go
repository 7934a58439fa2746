package outbox

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Question asks for the records of a kind in the same round trip as Page reads the log, when nobody knows the keys yet:
// PostgreSQL takes them from the rows that it has just read. That is for pages of few keys; of others nothing is answered,
// and the page's state has to be read when its keys are known. A connection that does not know the SQL yet learns it before
// the transaction begins, for which it may have to wait until a table is altered.
type Question struct {
	Kind   string
	Number int    // of the kind, among those of which questions are asked at once
	SQL    string // has AskedKeys(Number) where the keys belong, and no parameter
	// Answer gets the rows that SQL yields, in whatever formats, and each of the page's keys of the kind once, with those that
	// are not in the lane's range. Page closes the rows and sees to their error.
	Answer func(rows pgx.Rows, keys []string)
}

// AskedKeys is an expression of SQL, a text[]: the keys of a kind with a number, in a question.
func AskedKeys(number int) string {
	return "(coalesce(nullif(pg_catalog.current_setting('" + askedSetting(number) + "', true), ''), '{}')::pg_catalog.text[])"
}

// askedSetting is the setting of the transaction that holds the keys.
func askedSetting(number int) string { return "outflow.keys_" + strconv.Itoa(number) }

// askedSQL notes the keys of a row in the setting of its kind, and says whether it did. It must be evaluated once a row. The
// bounds keep it cheap where pages turn out to be long.
const askedSQL = `case when n.setting is not null and cardinality(l.keys) <= 64 and coalesce(length(current_setting(n.setting, true)), 0) <= 4096
  then set_config(n.setting, (coalesce(nullif(current_setting(n.setting, true), ''), '{}')::text[] || l.keys)::text, true) is not null
  else false end`

// askingSQL is pageSQL with questions behind it: $7 are their kinds, $8 their settings.
const askingSQL = `select ` + rowSQL + lateSQL + `, ` + askedSQL + deltaSQL + `
 cross join lateral (select ($8::text[])[array_position($7::text[], l.kind)] as setting) n`

// asking are the arguments of askingSQL behind those of pageSQL.
func asking(questions []Question) []any {
	kinds, settings := make([]string, len(questions)), make([]string, len(questions))
	for i, q := range questions {
		kinds[i], settings[i] = q.Kind, askedSetting(q.Number)
	}
	return []any{kinds, settings}
}

// keys lists the keys of rows that the question is asked for, each once. It is not whole if not all were noted.
func (q Question) keys(rows []Row) (keys []string, whole bool) {
	for _, r := range rows {
		switch {
		case r.Kind != q.Kind:
		case !r.asked:
			return nil, false
		default:
			keys = append(keys, r.Keys...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), true
}

// answer passes on what the questions behind rows of the log yield.
func answer(answers pgx.BatchResults, questions []Question, rows []Row) error {
	for _, q := range questions {
		found, err := answers.Query()
		if err != nil {
			return fmt.Errorf("asking for kind %s along with the log: %w", q.Kind, err)
		}
		if keys, whole := q.keys(rows); whole && len(keys) > 0 {
			q.Answer(found, keys)
		}
		found.Close()
		if err := found.Err(); err != nil {
			return fmt.Errorf("asking for kind %s along with the log: %w", q.Kind, err)
		}
	}
	return nil
}
