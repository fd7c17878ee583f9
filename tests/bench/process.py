"""The whole process."""

BENCHES = ()
