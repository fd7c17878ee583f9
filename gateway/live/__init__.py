"""The read model: what every viewer, and nothing else, reads of the running gateway."""
