"""What cannot be put back is probed in a process of its own, which loads the program anew."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.run.test_command import environment, reports, run

SEARCHED = """\
from pathlib import Path
from tests.probing.models import bert_trainer, weights_hash
print("loaded")
trainer = bert_trainer(
    Path("out"), max_steps=12, eval_strategy="steps", eval_steps=4, auto_find_batch_size=True
)
trainer.train()
print("trained", trainer.state.global_step, weights_hash(trainer.model))
"""
GIVEN = ["--goal", "eval_accuracy>=0.6", "--action", "warn", "--budget", "0.5"]


def own_words(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the program itself printed."""
    return [line for line in done.stdout.splitlines() if line.startswith(("loaded", "trained"))]


@pytest.mark.slow
def test_the_run_after_it_is_the_run_without_it(tmp_path: Path):
    (tmp_path / "searched.py").write_text(SEARCHED)
    plain = run("--no-preflight", "--no-watch", "searched.py", cwd=tmp_path)
    done = run(*GIVEN, "--report-dir", "reports", "searched.py", cwd=tmp_path)
    assert done.returncode == plain.returncode == 0, done.stderr
    assert done.stderr.count("it is probed in a separate process") == 1
    assert own_words(done) == own_words(plain)
    # Once: what the other process prints is not the program's.
    assert own_words(done)[0] == "loaded"
    assert reports(tmp_path / "reports") == ["preflight.json", "watch.json"]
    before = json.loads((tmp_path / "reports" / "preflight.json").read_text())
    after = json.loads((tmp_path / "reports" / "watch.json").read_text())
    (probe,) = before["probes"]
    steps = len(probe["train_step"])
    assert steps >= 1
    # Its beginning, bit for bit, up to the run's own first evaluation.
    assert probe["train_loss"][:4] == pytest.approx(after["run"]["train_loss"][: min(steps, 4)])
    assert not list((tmp_path / "out").glob("**/checkpoint-*"))


@pytest.mark.slow
def test_a_command_too_and_a_goal_that_is_not_reported_is_refused(tmp_path: Path):
    (tmp_path / "searched.py").write_text(SEARCHED)
    given = ["--goal", "eval_f1>=0.6", "--budget", "0.5"]
    done = run(*given, "python", "searched.py", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "the evaluation reports no 'eval_f1'; it reports eval_accuracy" in done.stderr
    assert "trained" not in done.stdout


PROBED_LONG = """\
import os, time
from pathlib import Path
from tests.probing.models import bert_trainer
Path(f"{os.getpid()}.pid").touch()
if "HF_FTRISK_RUN" in os.environ:
    time.sleep(200)
trainer = bert_trainer(Path("out"), max_steps=12, auto_find_batch_size=True)
trainer.train()
"""


@pytest.mark.slow
def test_sigterm_ends_the_process_that_probes_too_and_leaves_no_folder(tmp_path: Path):
    (tmp_path / "long.py").write_text(PROBED_LONG)
    kept = tmp_path / "temporary"
    kept.mkdir()
    command = [sys.executable, "-m", "hf_ftrisk", "run", *GIVEN, "long.py"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(TMPDIR=str(kept)))
    ends = time.monotonic() + 240
    while len(started := list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < ends:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM
    assert len(started) == 2
    assert not [file for file in started if Path(f"/proc/{file.stem}").exists()]
    assert not list(kept.glob("hf_ftrisk_*"))


ONE_FAILS = """\
import os, sys
if os.environ["RANK"] == "1" and '"probes": true' in os.environ["HF_FTRISK_RUN"]:
    sys.exit("one rank alone fails")
from pathlib import Path
import torch.distributed as dist
from tests.probing.models import bert_trainer
trainer = bert_trainer(Path("out"), max_steps=12, auto_find_batch_size=True)
trainer.train()
Path(f"rank{dist.get_rank()}").write_text(str(trainer.state.global_step))
"""


@pytest.mark.slow
def test_a_process_that_waits_for_one_that_failed_is_ended_and_the_run_trains(tmp_path: Path):
    (tmp_path / "one.py").write_text(ONE_FAILS)
    launcher = ["torchrun", "--standalone", "--nproc_per_node", "2"]
    done = run(*GIVEN, *launcher, "one.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no pre-flight: the program failed") == 1
    assert "one rank alone fails" in done.stderr
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["12", "12"]


INSIDE_BACKWARD = """\
from pathlib import Path
from tests.probing.models import bert_trainer, weights_hash
steps = dict(max_steps=12, eval_strategy="steps", eval_steps=4)
trainer = bert_trainer(Path("out"), optim="lomo", learning_rate=1e-2, **steps)
trainer.train()
print("trained", trainer.state.global_step, weights_hash(trainer.model))
"""


@pytest.mark.slow
def test_an_optimizer_that_steps_inside_backward_is_probed_there_and_not_stopped(tmp_path: Path):
    pytest.importorskip("lomo_optim")
    (tmp_path / "inside.py").write_text(INSIDE_BACKWARD)
    plain = run("--no-preflight", "--no-watch", "inside.py", cwd=tmp_path)
    done = run(*GIVEN, "--report-dir", "reports", "inside.py", cwd=tmp_path)
    assert done.returncode == plain.returncode == 0, done.stderr
    assert done.stderr.count("it is probed in a separate process") == 1
    assert own_words(done) == own_words(plain) != []
    assert reports(tmp_path / "reports") == ["preflight.json", "watch.json"]


SHARDED = """\
import os
from pathlib import Path
import torch.distributed as dist
from tests.probing.models import bert_trainer
batches = {"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}
stage = {"stage": int(os.environ["STAGE"])}
config = {"zero_optimization": stage, "zero_allow_untested_optimizer": True, **batches}
config["zero_force_ds_cpu_optimizer"] = False
steps = dict(max_steps=12, eval_strategy="steps", eval_steps=4)
trainer = bert_trainer(Path("out"), deepspeed=config, **steps)
trainer.train()
engine = type(trainer.model_wrapped).__name__
told = f"{dist.get_world_size()} {trainer.state.global_step} {engine}"
Path(f"rank{dist.get_rank()}").write_text(told)
"""


@pytest.mark.timeout(1500)
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["1", "2", "3"])
def test_two_processes_with_deepspeed_are_probed_and_watched(tmp_path: Path, stage: str):
    pytest.importorskip("deepspeed")
    (tmp_path / "sharded.py").write_text(SHARDED)
    launcher = ["torchrun", "--standalone", "--nproc_per_node", "2"]
    given = [*GIVEN, "--report-dir", "reports", *launcher, "sharded.py"]
    setting = {"DS_ACCELERATOR": "cpu", "STAGE": stage}
    done = run(*given, cwd=tmp_path, timeout=1400, **setting)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it is probed in a separate process") == 1
    for rank in (0, 1):
        assert (tmp_path / f"rank{rank}").read_text() == "2 12 DeepSpeedEngine"
    assert reports(tmp_path / "reports") == ["preflight.json", "watch.json"]
    watched = json.loads((tmp_path / "reports" / "watch.json").read_text())
    assert watched["run"]["train_step"][-1] == 12


# accelerate turns its FSDP plugin on for accelerators alone; the engine itself runs on CPUs.
FULLY_SHARDED = """\
from pathlib import Path
import torch.distributed as dist
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from tests.probing.models import bert_trainer
begin = AcceleratorState.__init__
def on_cpus_too(self, *given, fsdp_plugin=None, **named):
    begin(self, *given, fsdp_plugin=fsdp_plugin, **named)
    if fsdp_plugin is not None:
        AcceleratorState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
AcceleratorState.__init__ = on_cpus_too
plugin = {"version": 2, "transformer_layer_cls_to_wrap": ["BertLayer"]}
steps = dict(max_steps=12, eval_strategy="steps", eval_steps=4)
trainer = bert_trainer(Path("out"), fsdp=True, fsdp_config=plugin, **steps)
trainer.train()
shard = type(next(trainer.model_wrapped.parameters())).__name__
told = f"{dist.get_world_size()} {trainer.state.global_step} {shard}"
Path(f"rank{dist.get_rank()}").write_text(told)
"""


# Half a minute alone. Seven processes load torch: on a machine with four times as much to do as it
# has cores they took ten.
@pytest.mark.timeout(1500)
@pytest.mark.slow
def test_two_processes_with_fsdp2_are_probed_by_two_others_and_watched(tmp_path: Path):
    (tmp_path / "sharded.py").write_text(FULLY_SHARDED)
    launcher = ["torchrun", "--standalone", "--nproc_per_node", "2"]
    given = [*GIVEN, "--report-dir", "reports", *launcher, "sharded.py"]
    done = run(*given, cwd=tmp_path, timeout=1400)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it is probed in a separate process") == 1
    for rank in (0, 1):
        assert (tmp_path / f"rank{rank}").read_text() == "2 12 DTensor"
    before, after = (
        json.loads((tmp_path / "reports" / f"{name}.json").read_text())
        for name in ("preflight", "watch")
    )
    (probe,) = before["probes"]
    # The losses are those of all ranks, and the probe is the run's own beginning.
    assert probe["train_loss"] == pytest.approx(
        after["run"]["train_loss"][: len(probe["train_loss"])]
    )
    assert after["run"]["train_step"][-1] == 12
    assert min(after["run"]["grad_norm"]) > 0
