"""Typed events: one frozen class for each kind, from which journal, counters, payload and JSON Schema are taken.

Kinds that only one protocol or one layout knows are defined in its own room on the base in `event.py`.
"""
