"""`hf-ftrisk run` around scripts: they see and say what they would under python itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_ftrisk.errors import ScriptNotFoundError
from hf_ftrisk.run.script import run_script

ROOT = Path(__file__).parents[2]

MIRROR = """\
import sys
import __main__
print(__name__, sys.argv, sys.path[0], __file__, __package__, __spec__ is None)
print(__main__.__file__, __main__.__dict__ is globals(), "annotations" in globals())
print("to stderr", file=sys.stderr)
def fail():
    raise ValueError("boom")
what = sys.argv[1] if len(sys.argv) > 1 else ""
if what == "raise":
    try:
        fail()
    except ValueError as error:
        raise RuntimeError("outer") from error
if what == "exit":
    sys.exit(eval(sys.argv[2]))
if what == "thrice":
    sys.excepthook = lambda kind, error, trace: print("hook", kind.__name__, file=sys.stderr)
    fail()
"""


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def python(*args: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=240,
    )


def run(*args: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "hf_ftrisk", "run", *args, cwd=cwd, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mirror.py").write_text(MIRROR)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "__main__.py").write_text(MIRROR)
    (tmp_path / "pack" / "mirror.py").write_text(MIRROR)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["code/mirror.py"],
        ["code/mirror.py", "--goal", "x", "-m", "--help", "--", "-v"],
        ["code/mirror.py", "raise"],
        ["code/mirror.py", "thrice"],
        ["code/mirror.py", "exit", "0"],
        ["code/mirror.py", "exit", "None"],
        ["code/mirror.py", "exit", "1"],
        ["code/mirror.py", "exit", "'in words'"],
        ["-m", "pack", "--budget", "7"],
        ["-m", "pack.mirror", "raise"],
    ],
    ids=" ".join,
)
def test_a_script_behaves_as_under_python(folder, command):
    plain, ours = python(*command, cwd=folder), run(*command, cwd=folder)
    assert ours.stdout == plain.stdout
    assert ours.stderr.replace("<frozen runpy>", "") == without_runpy(plain.stderr)
    assert ours.returncode == plain.returncode


def without_runpy(text: str) -> str:
    """Drop the two frames of `python -m` itself from a traceback."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if "<frozen runpy>" not in line)


def test_other_exit_codes_of_a_script_become_its_failure(folder):
    done = run("code/mirror.py", "exit", "3", cwd=folder)
    assert done.returncode == 1
    assert "hf-ftrisk: the script ended with status 3" in done.stderr


def test_a_syntax_error_is_the_scripts_failure(folder):
    (folder / "wrong.py").write_text("x = (\n")
    plain, ours = python("wrong.py", cwd=folder), run("wrong.py", cwd=folder)
    assert ours.returncode == plain.returncode == 1
    assert ours.stderr == plain.stderr
    assert "SyntaxError" in ours.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["nowhere.py"], "nowhere.py"),
        (["-m", "nowhere"], "nowhere"),
        (["-m", "nowhere.inside"], "nowhere"),
        (["--goal", "accuracy<=0.5", "code/mirror.py"], "wrong direction"),
        (["--goal", "accuracy>=850", "code/mirror.py"], "850"),
        (["--rule", "median", "code/mirror.py"], "calibrated, patience"),
        (["--goal", "frobnication", "code/mirror.py"], "cannot tell"),
        (["--budget", "5", "code/mirror.py"], "(0, 1]"),
        (["--seeds", "0", "code/mirror.py"], "seeds"),
        (["--action", "explode", "code/mirror.py"], "explode"),
        (["--gaol", "eval_loss", "code/mirror.py"], "--gaol"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_wrong_usage_leaves_with_status_2_before_anything_runs(folder, command, says):
    done = run(*command, cwd=folder, TERMINAL_WIDTH="200")
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in " ".join(done.stderr.replace("│", " ").split())


def test_nothing_heavy_is_imported_before_the_script_runs(folder):
    (folder / "light.py").write_text(
        "import sys; print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    assert run("light.py", cwd=folder).stdout.strip() == "[]"


LEAVING = """\
import atexit, sys, threading, time
class Kept: ...
def last():
    import __main__
    print("at exit", sys.argv, __main__.Kept is Kept, __name__)
atexit.register(last)
def late():
    time.sleep(0.3)
    import __main__
    print("thread", __main__.Kept is Kept)
threading.Thread(target=late).start()
print("main ends")
"""

SPAWNING = """\
import multiprocessing, sys
def square(x):
    return x * x, __name__
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        print(pool.map(square, [2, 3]), sys.argv)
"""


@pytest.mark.parametrize("text", [LEAVING, SPAWNING], ids=["atexit and threads", "spawn"])
@pytest.mark.parametrize("module", [False, True], ids=["script", "module"])
def test_what_outlives_the_script_or_is_started_by_it_finds_it(folder, text, module):
    (folder / "outliving.py").write_text(text)
    command = ["-m", "outliving", "x"] if module else ["outliving.py", "x"]
    plain, ours = python(*command, cwd=folder), run(*command, cwd=folder)
    assert plain.returncode == 0
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, 0)


def test_an_interrupted_script_is_told_as_python_tells_it(folder):
    (folder / "interrupted.py").write_text("def wait():\n    raise KeyboardInterrupt\nwait()\n")
    plain, ours = python("interrupted.py", cwd=folder), run("interrupted.py", cwd=folder)
    assert ours.stderr == plain.stderr
    assert ours.returncode == 130  # what a shell reports of python, which ends by the signal


@pytest.mark.parametrize("command", [["--report-dir", "file"], ["--history", "pack"]], ids=" ".join)
def test_a_place_that_cannot_be_written_is_wrong_usage(folder, command):
    (folder / "file").write_text("")
    done = run(*command, "code/mirror.py", cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""


TWO = """\
import atexit
import os
import sys
from pathlib import Path
import torch.distributed as dist
from tests.tiny_data import weights_hash
from tests.probing.models import bert_trainer
rank_file = Path(sys.argv[1])
settings = dict(max_steps=16, eval_strategy="steps", eval_steps=4)
trainer = bert_trainer(rank_file.parent, **settings)
left = rank_file.with_name("left" + os.environ["RANK"])
atexit.register(lambda: left.write_text(str(dist.is_initialized())))
try:
    trainer.train()
finally:
    rank = dist.get_rank()
    line = f"{dist.get_world_size()} {trainer.state.global_step} {weights_hash(trainer.model)}"
    rank_file.with_name(f"rank{rank}").write_text(line)
"""


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
# With --cpu it would start one process; --multi_gpu starts two, also where there is no GPU.
ACCELERATE = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
GIVEN = ["--budget", "0.5", "--seeds", "1", "--action", "warn", "--report-dir", "reports"]


def on_two_ranks(folder: Path, launch: list[str], goal: str):
    """The finished launch, and what each rank wrote: world size, steps, weights."""
    (folder / "two.py").write_text(TWO)
    (folder / "out").mkdir()
    command = [*launch, "-m", "hf_ftrisk", "run", "--goal", goal, *GIVEN, "two.py", "out/x"]
    done = python(*command, cwd=folder)
    ranks = [(folder / "out" / f"rank{rank}").read_text().split() for rank in (0, 1)]
    return done, ranks


@pytest.mark.slow
def test_two_processes_of_torchrun_are_judged_in_lockstep(folder):
    done, ranks = on_two_ranks(folder, TORCHRUN, "eval_accuracy>=0.6")
    assert done.returncode == 0, done.stderr
    assert ranks[0][:2] == ["2", "16"]
    assert ranks[0] == ranks[1]
    reports = sorted(path.name for path in (folder / "reports").iterdir())
    assert reports == ["preflight.json", "watch.json"]


@pytest.mark.slow
def test_two_processes_of_accelerate_refuse_a_wrong_goal_together(folder):
    done, ranks = on_two_ranks(folder, ACCELERATE, "eval_f1>=0.6")
    assert done.returncode == 1  # the launcher's own, whatever its processes left with
    assert ranks[0][:2] == ["2", "0"]
    assert ranks[0] == ranks[1]
    assert done.stderr.count("not started: the evaluation reports no 'eval_f1'") == 1
    assert "exitcode  : 2" in done.stderr
    # A rank that ends within the group may abort the other.
    assert [(folder / "out" / f"left{rank}").read_text() for rank in (0, 1)] == ["False"] * 2


DETACHED = """\
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from tests.probing.models import bert, bert_trainer, lora
file = Path(sys.argv[1])
model = bert()
optimizer = torch.optim.AdamW(list(model.parameters()), lr=1e-3)
trainer = bert_trainer(
    file.parent,
    model=lora(model, task_type="SEQ_CLS"),
    optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)),
    eval_strategy="steps",
    eval_steps=6,
)
try:
    trainer.train()
finally:
    told = f"{dist.get_world_size()} {trainer.state.global_step} {sys.exc_info()[1].code}"
    file.with_name(f"rank{dist.get_rank()}").write_text(told)
"""


@pytest.mark.slow
def test_a_no_go_leaves_both_processes_of_torchrun_with_status_3(folder):
    (folder / "detached.py").write_text(DETACHED)
    (folder / "out").mkdir()
    options = ["--goal", "eval_accuracy>=0.6", "--action", "stop", "--report-dir", "reports"]
    command = ["-m", "hf_ftrisk", "run", *options, "detached.py", "out/x"]
    done = python(*TORCHRUN, *command, cwd=folder)
    ranks = [(folder / "out" / f"rank{rank}").read_text().split() for rank in (0, 1)]
    assert ranks == [["2", "0", "3"], ["2", "0", "3"]]
    assert done.returncode == 1  # the launcher's own
    assert "exitcode  : 3" in done.stderr
    assert done.stderr.count("no-go: the training is not started") == 1
    report = json.loads((folder / "reports" / "preflight.json").read_text())
    assert report["verdict"] == "NO_GO"
    assert report["diagnoses"][0]["name"] == "parameters_not_in_optimizer"


def test_the_interpreter_is_as_before_after_a_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    from transformers import Trainer

    before = (sys.argv, list(sys.path), sys.modules["__main__"], list(sys.meta_path), Trainer.train)
    assert run_script("code/mirror.py", ["raise"]) == 1
    after = (sys.argv, list(sys.path), sys.modules["__main__"], list(sys.meta_path), Trainer.train)
    assert after == before


def test_a_missing_script_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(ScriptNotFoundError, match="can't open file"):
        run_script(str(tmp_path / "nowhere.py"))


def test_an_interrupt_is_passed_on(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "interrupted.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        run_script("interrupted.py")
    assert sys.argv[0] != "interrupted.py"


LOOP = """\
import torch
weight = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([weight], lr=0.1)
for _ in range(5):
    optimizer.zero_grad()
    ((weight - 1) ** 2).sum().backward()
    optimizer.step()
print("ended at", round(float(weight.detach()), 3))
"""


def test_a_program_that_trains_without_a_trainer_is_told_so(folder):
    (folder / "loop.py").write_text(LOOP)
    done = run("loop.py", cwd=folder)
    assert done.returncode == 2
    assert done.stdout.startswith("ended at 0.6")
    assert "took 5 optimizer steps in a loop of its own" in done.stderr
    assert "PreflightRunner.from_loop" in done.stderr
