"""Compute spent and good runs kept, by method, on pools of candidate runs (benchmarks.savings)."""
