"""What a run is judged by: metric, direction, target; what a metric's name and values say."""

from hf_ftrisk.goal.goal import Goal
from hf_ftrisk.goal.trivial import label_entropy, majority_rate, trivial_baseline

__all__ = ["Goal", "label_entropy", "majority_rate", "trivial_baseline"]
