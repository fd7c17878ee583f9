"""What the outbox has in memory. Pure but for the clock of the watermarks."""
