"""The sink `postgres`: messages as rows of tables."""
