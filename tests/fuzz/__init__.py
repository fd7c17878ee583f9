"""Mutated input for every door, in process and through proxies: `python -m tests.fuzz`, part of `make fuzz`."""
