"""Modbus over TCP, UDP, TLS and serial lines: holding and input registers, coils and discrete inputs, polled."""
