"""Verdicts of a pre-flight on recorded pairs: examples, the fit of the rule, measures."""
