"""The seams between parts, one file per port. Each docstring is the contract; `tests/contract` holds fake and real to it."""
