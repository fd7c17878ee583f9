"""What only the commands that look at devices need."""
