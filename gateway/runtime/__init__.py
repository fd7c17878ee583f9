"""Loops written once: supervisor, pipeline, publisher, status, watchdog."""
