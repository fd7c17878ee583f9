"""The SQLite file: schema, connection, rows, counts, forms of payloads."""
