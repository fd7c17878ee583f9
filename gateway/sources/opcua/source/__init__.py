"""Several servers that serve the same nodes: which one is asked, and when another is better."""
