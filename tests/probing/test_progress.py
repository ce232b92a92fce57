"""A progress bar as the Trainer's: silent when the Trainer is. Other ranks: test_distributed."""

from __future__ import annotations

import pytest

from hf_ftrisk.probing.runner import preflight
from tests.probing.models import bert_trainer


def _probe(trainer, **settings):
    preflight(trainer, goal="eval_accuracy", budget=0.3, seeds=1, signal_seconds=0, **settings)


@pytest.mark.parametrize(
    ("disable_tqdm", "progress", "shown"),
    [(False, None, True), (True, None, False), (True, True, True), (False, False, False)],
)
def test_it_is_shown_as_the_trainer_or_the_user_says(
    tmp_path, capfd, disable_tqdm, progress, shown
) -> None:
    _probe(bert_trainer(tmp_path, disable_tqdm=disable_tqdm), progress=progress)
    out, err = capfd.readouterr()
    assert ("pre-flight" in err) == shown
    assert out == ""
