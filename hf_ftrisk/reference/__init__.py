"""Packaged reference runs and priors, with their provenance."""
