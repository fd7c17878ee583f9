"""OPC UA: one session per server, a subscription or polled reads."""
