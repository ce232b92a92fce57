"""Signals known before (static) and early in (dynamic) a run, as dict[str, float]."""
