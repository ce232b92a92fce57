"""Faults survived: campaigns of hostile input and killed processes."""
