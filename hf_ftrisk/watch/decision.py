"""What a look decided, for all ranks. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from hf_ftrisk.report.findings import Finish
from hf_ftrisk.watch.ending import CoolDown
from hf_ftrisk.watch.watcher import Judged


@dataclass(frozen=True, eq=False)
class Decision:
    """What rank 0 concluded at a look, for all ranks.

    Args:
        judged: the look.
        stop: the run ends here.
        save: a checkpoint is wanted of the weights as they are.
        message: what to tell the user besides the look itself.
        finish: the run has nothing more to gain, and is ended for that.
        cool_down: how it is cooled down before it ends; None: it ends here.
        prune: reason for which the run's trial is pruned; None: it is none, or not pruned.
    """

    judged: Judged
    stop: bool = False
    save: bool = False
    message: str | None = None
    finish: Finish | None = None
    cool_down: CoolDown | None = None
    prune: str | None = None

    @property
    def ends(self) -> bool:
        """Whether the training ends at this step."""
        return self.stop or (self.finish is not None and self.cool_down is None)
