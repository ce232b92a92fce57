"""Choose among candidates: probes where they change the choice, the best one carried on."""

from hf_ftrisk.choosing.engine import Engine, LocalEngine, rank, run_study
from hf_ftrisk.choosing.entries import Entry
from hf_ftrisk.choosing.ranking import Ranking

__all__ = ["Engine", "Entry", "LocalEngine", "Ranking", "rank", "run_study"]
