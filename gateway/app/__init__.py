"""The composition root: builds every part from the settings, starts them in order, stops them in order."""
