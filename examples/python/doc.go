// Package python is an example: a producer in Python, producer.py, which needs psycopg.
package python
