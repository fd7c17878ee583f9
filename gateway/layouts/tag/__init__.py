"""The layout `tag`: one topic per tag, for a unified namespace."""
