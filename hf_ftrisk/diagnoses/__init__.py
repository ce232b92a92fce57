"""Named failures of runs, of their data and of how a Trainer is put together."""
