"""Probe any Trainer before it trains, and leave no trace."""
