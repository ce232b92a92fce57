"""Training scripts that nobody here wrote, run unchanged under `hf-ftrisk run`."""
