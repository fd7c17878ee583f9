"""Data types of a server and their values, on the types that asyncua defines."""
