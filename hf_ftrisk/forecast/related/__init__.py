"""Forecasts from completed runs of the same task."""
