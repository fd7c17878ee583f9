"""One OPC UA server as a Source: what is known of it, its sessions, and their tasks."""
