"""Durable queue between the pipeline and the sinks: messages leave it delivered, or with a counted loss record."""
