"""What only commands and the start of the gateway need: discover, browse, read, plan, check history."""
