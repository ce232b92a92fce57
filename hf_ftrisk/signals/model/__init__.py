"""Signals of the frozen model on its data."""
