"""A small press line without hardware: simulated devices, an embedded broker and the gateway itself as a child process."""
