"""What becomes of a file that is damaged or was taken away."""
