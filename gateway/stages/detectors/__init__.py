"""Detectors, one file each; `plugins.py` lists them."""
