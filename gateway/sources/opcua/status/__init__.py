"""Status codes of OPC UA: names, qualities, explanations."""
