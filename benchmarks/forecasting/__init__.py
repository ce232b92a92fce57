"""Parts of the forecasting benchmark: prefixes, held-out fits, baselines, measures."""
