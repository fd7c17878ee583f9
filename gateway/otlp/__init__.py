"""Metrics and traces pushed to an OpenTelemetry collector: OTLP over HTTP, from a thread of its own."""
