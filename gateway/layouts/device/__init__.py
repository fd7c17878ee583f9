"""The layout `device`: the contract as the documentation shows it, one topic per device and kind."""
