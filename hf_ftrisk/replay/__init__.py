"""Finished runs, judged as they would have been on the way."""
