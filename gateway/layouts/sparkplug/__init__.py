"""The layout `sparkplug`: Eclipse Sparkplug B, version 3.0.0."""
