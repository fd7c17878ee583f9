"""The historian: what was read, kept in compressed columns in memory and, when switched on, in files."""
