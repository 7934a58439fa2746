"""A producer in Python: python producer.py postgres://writer@host/database

It needs psycopg (pip install "psycopg[binary]"), and a role that has outbox.grant_writer and rights on its own tables.
What it does is plain SQL; there is nothing of Outflow's to install.
"""

import json
import sys
import time

import psycopg


def put(conn, kind, key, body):
    """Stores a record in outbox.records, within the transaction that is open."""
    conn.execute(
        "insert into outbox.records (kind, key, body) values (%s, %s, %s::jsonb)"
        " on conflict (kind, key) do update set body = excluded.body",
        (kind, key, json.dumps(body)),
    )


def token(conn):
    """What to wait for once the transaction that is open has committed; None if it wrote nothing."""
    return conn.execute("select outbox.token()").fetchone()[0]


def wait(conn, token, backend, seconds=10):
    """Waits until the backend shows all that the token's transaction changed, and says whether it does."""
    end = time.monotonic() + seconds
    while token is not None:
        if conn.execute("select outbox.reached(%s::xid8, %s)", (token, backend)).fetchone()[0]:
            break
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def main(database):
    with psycopg.connect(database, autocommit=True) as conn:
        with conn.transaction():
            # The trace that the changes belong to; an OpenTelemetry propagator fills such a dictionary.
            headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
            conn.execute("select set_config('outbox.headers', %s, true)", (json.dumps(headers),))
            # A watched table: nothing is to be done but to write it, by COPY as well.
            with conn.cursor().copy("copy shop.orders (id, title) from stdin") as rows:
                rows.write_row((1, "red shoes"))
                rows.write_row((2, "blue shoes"))
            conn.execute("update shop.orders set title = 'green shoes' where id = 2")
        with conn.transaction():
            # No table of one's own: the ready-made one.
            put(conn, "note", "1", {"text": "hello"})
        with conn.transaction():
            # Something changed that no table shows: say so.
            conn.execute("select outbox.changed(%s, %s)", ("order", ["1", "2"]))
            last = token(conn)
        for (backend,) in conn.execute("select name from outbox.backends").fetchall():
            print(backend, "has it all" if wait(conn, last, backend) else "is behind")


if __name__ == "__main__":
    main(sys.argv[1])
