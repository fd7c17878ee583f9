"""What was missed while a server was away, and its reading back."""
