"""Questions for the past, from a sink or the API, answered from the historian in parts."""
