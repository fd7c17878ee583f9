"""Where messages go: one folder per kind of sink."""
