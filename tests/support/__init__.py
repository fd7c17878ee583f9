"""Real and fake counterparts for the tests."""
