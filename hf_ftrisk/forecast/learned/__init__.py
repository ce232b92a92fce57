"""Forecasts of a run from a table of features."""

from hf_ftrisk.forecast.learned.predictor import LearnedPredictor

__all__ = ["LearnedPredictor"]
