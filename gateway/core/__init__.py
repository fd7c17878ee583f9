"""The vocabulary every part shares: columns, tags, quality, ports, errors, clock, backoff."""
