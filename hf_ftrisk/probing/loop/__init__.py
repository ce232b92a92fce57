"""Probes of a training loop of one's own."""
