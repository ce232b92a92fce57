"""Choosing among candidates, replayed on recorded runs: pools, baselines, measures."""
