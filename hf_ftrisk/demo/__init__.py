"""The main job on a real model and real data: what `hf-ftrisk demo` runs (extra `demo`)."""
