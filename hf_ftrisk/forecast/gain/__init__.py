"""The gain still to come: by how much the best of the rest of a run may exceed its best so far."""

from hf_ftrisk.forecast.gain.model import LADDER, Gain, GainModel, load_gain_model
from hf_ftrisk.forecast.gain.tolerance import checked_tolerance, evaluations, tolerance_of

__all__ = [
    "LADDER",
    "Gain",
    "GainModel",
    "checked_tolerance",
    "evaluations",
    "load_gain_model",
    "tolerance_of",
]
