"""From a forecast to a verdict: stopping rule and diagnoses."""
