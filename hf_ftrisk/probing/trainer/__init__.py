"""Probes of a Trainer."""
