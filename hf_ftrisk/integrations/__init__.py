"""Forecasts inside the tools of others; each module needs its own extra."""
