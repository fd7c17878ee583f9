"""Bytes of OPC UA to columns and structures. Pure."""
