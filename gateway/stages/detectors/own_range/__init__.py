"""The detector `own_range`: each tag against everything that it has done before."""
