"""Figures, never assertions: `make bench`, `make bench ONLY=name`."""
