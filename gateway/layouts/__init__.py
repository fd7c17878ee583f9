"""How messages look on the wire: one folder per layout, equal file names in each."""
