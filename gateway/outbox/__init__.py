"""Durable queue between the pipeline and the publisher: messages leave it delivered, or with a counted loss record."""
