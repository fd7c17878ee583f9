"""How nodes, parts of values and fields of events are written in a configuration file. Pure."""
