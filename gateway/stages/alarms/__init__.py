"""Alarms of tags, on every sample: which conditions there are, their state machines, the events of what changes. Pure."""
