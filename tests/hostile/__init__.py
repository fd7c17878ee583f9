"""Hostile peers and files at every door of the running gateway, and what a well-behaved device beside them gets."""
