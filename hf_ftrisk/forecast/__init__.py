"""From a run's prefix to a calibrated predictive distribution of its final metric."""
