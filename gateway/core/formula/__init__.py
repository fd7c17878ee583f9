"""Formulas over tags: text to a small tree, the tree evaluated on columns."""
