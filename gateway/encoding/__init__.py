"""Topics and payloads, version 1 of the contract: the last place that knows tag names."""
