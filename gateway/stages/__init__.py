"""Pure columns in, columns and events out: limits, windows, detection, report by exception, summaries."""
