"""What a person or a program sees of the running gateway: health, metrics, API and page over HTTP, read-only."""
