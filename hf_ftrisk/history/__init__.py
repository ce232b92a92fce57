"""Completed runs on disk, and as a Hub data set in and out."""

from hf_ftrisk.history.run_history import ImportSummary, RunHistory

__all__ = ["ImportSummary", "RunHistory"]
