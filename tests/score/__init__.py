"""Scores of the detectors on labelled data and on synthetic tags, at their shipped settings."""
