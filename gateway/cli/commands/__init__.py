"""What the commands say of themselves, a module for each kind. Their work is imported only when they are called."""
