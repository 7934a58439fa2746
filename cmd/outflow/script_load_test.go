package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCompressed compresses a file by gzip and by zstd, and makes cut.gz, which is not whole:
// `compressed file gz zst`.
func scriptCompressed(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(ts.ReadFile(args[0]))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, err := w.Write(text)
	ts.Check(err)
	ts.Check(w.Close())
	z, err := zstd.NewWriter(nil)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), gz.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("cut.gz"), gz.Bytes()[:gz.Len()-10], 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), z.EncodeAll(text, nil), 0o600))
	ts.Check(z.Close())
}

// scriptRows waits until a query answers a number: `rows 'select count(*) from t' 2`.
func scriptRows(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	until(ts, args[0]+" is "+args[1], func() bool {
		var n int
		ts.Check(conn.QueryRow(ctx, args[0]).Scan(&n))
		return n == want
	})
}
