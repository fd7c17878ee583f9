"""The seam between the source and its protocol library: roles, their data classes, errors."""
