"""`hf-ftrisk run COMMAND`: the processes that a command starts are followed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hf_ftrisk.run.command import _passing_on, find_command
from hf_ftrisk.run.journal import SharedJournal
from hf_ftrisk.run.outcome import Outcome
from tests.watch.test_trainers import tokenizer

ROOT = Path(__file__).parents[2]
BIN = str(Path(sys.executable).parent)
GIVEN = ["--budget", "0.5", "--seeds", "1", "--report-dir", "reports"]

tokenizer = tokenizer  # a fixture of that file


def environment(**changes: str) -> dict[str, str]:
    path = os.pathsep.join([BIN, os.environ["PATH"]])
    ours = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path}
    return os.environ | ours | changes


def run(
    *args: str, cwd: Path, timeout: float = 280, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; past the timeout everything that it started is ended with it."""
    command = [sys.executable, "-m", "hf_ftrisk", "run", *args]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"not ended after {timeout:g} s: {out[-2000:]} {err[-2000:]}")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def reports(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.json"))


# --- what is a command --------------------------------------------------------------------------


def test_a_command_is_told_from_a_script_by_its_name_and_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "train", "launch.sh", "sh"):
        (tmp_path / name).write_text("")
    for name in ("train.py", "launch.sh"):
        (tmp_path / name).chmod(0o755)
    commands = {name: find_command(name) for name in ("train.py", "train", "sh", "nowhere.py")}
    assert commands == dict.fromkeys(commands)
    assert find_command("launch.sh") == str(tmp_path / "launch.sh")
    assert find_command("env") is not None
    assert find_command("torchrun") is not None  # beside this interpreter, on the PATH or not
    assert find_command("no-such-command") is None


def test_what_is_neither_script_nor_command_is_wrong_usage(tmp_path):
    done = run("no-such-command", cwd=tmp_path, TERMINAL_WIDTH="200")
    assert done.returncode == 2
    assert "no command of this name" in done.stderr


def test_a_command_keeps_its_output_arguments_and_environment(tmp_path):
    code = (
        "import os, sys; print(sys.argv[1:], os.environ['MINE'], sys.path[0]); "
        "print(2, file=sys.stderr)"
    )
    done = run("python", "-c", code, "--goal", "x", cwd=tmp_path, MINE="7")
    assert (done.stdout, done.stderr, done.returncode) == ("['--goal', 'x'] 7 \n", "2\n", 0)


def test_a_persons_own_sitecustomize_still_runs(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import os; os.environ['OWN'] = __file__")
    code = "import os, sitecustomize; print(os.environ['OWN'], sitecustomize.__file__)"
    path = os.pathsep.join([str(tmp_path / "own"), str(ROOT)])
    done = run("python", "-c", code, cwd=tmp_path, PYTHONPATH=path)
    assert done.stdout.split() == [str(tmp_path / "own" / "sitecustomize.py")] * 2
    assert done.stderr == ""


@pytest.mark.parametrize(("ending", "says"), [("exit 7", "status 7"), ("kill -9 $$", "signal 9")])
def test_a_command_that_fails_gives_status_1_and_says_how(tmp_path, ending, says):
    done = run("sh", "-c", ending, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr


def test_what_ends_us_is_passed_on_to_the_command(tmp_path):
    script = "trap 'echo told > told; exit 0' TERM; echo > begun; while :; do sleep 0.05; done"
    command = [sys.executable, "-m", "hf_ftrisk", "run", "sh", "-c", script]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment())
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "told").read_text() == "told\n"


def test_what_ends_us_before_the_command_has_started_ends_it_as_well():
    with _passing_on() as started:
        os.kill(os.getpid(), signal.SIGTERM)
        process = subprocess.Popen(["sleep", "60"])
        started(process)
        assert process.wait(timeout=30) == -signal.SIGTERM


LOOP = """\
import torch
weight = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([weight], lr=0.1)
for _ in range(5):
    ((weight - 1) ** 2).sum().backward()
    optimizer.step()
"""


def test_a_loop_that_a_command_trains_is_told_and_has_status_2(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    done = run("sh", "-c", f"{sys.executable} loop.py", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("took 5 optimizer steps in a loop of its own") == 1


# --- launchers ----------------------------------------------------------------------------------

TWO = """\
from pathlib import Path
import torch.distributed as dist
from tests.probing.models import bert_trainer, weights_hash
trainer = bert_trainer(Path("out"), max_steps=12, eval_strategy="steps", eval_steps=4)
trainer.train()
told = f"{dist.get_world_size()} {trainer.state.global_step} {weights_hash(trainer.model)}"
Path(f"rank{dist.get_rank()}").write_text(told)
"""
GOAL = ["--goal", "eval_accuracy>=0.6", "--action", "warn"]


@pytest.mark.slow
def test_two_processes_of_torchrun_find_one_result(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    launcher = ["torchrun", "--standalone", "--nproc_per_node", "2"]
    done = run(*GOAL, *GIVEN, *launcher, "two.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ranks = [(tmp_path / f"rank{rank}").read_text().split() for rank in (0, 1)]
    assert ranks[0][:2] == ["2", "12"]
    assert ranks[0] == ranks[1]
    assert done.stderr.count("Verdict") == 2  # before and after, each said once
    assert reports(tmp_path / "reports") == ["preflight.json", "watch.json"]


# One process: gloo cannot connect anew after a restart of several (torch 2.13).
DYING = """\
import os
from pathlib import Path
from transformers import TrainerCallback
from tests.probing.models import bert_trainer
class Dying(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os._exit(9)
trainer = bert_trainer(Path("out"), max_steps=12, eval_strategy="steps", eval_steps=4)
trainer.add_callback(Dying())
trainer.train()
"""


@pytest.mark.slow
def test_what_torchrun_starts_anew_is_not_probed_anew(tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    launcher = ["torchrun", "--standalone", "--nproc_per_node", "1", "--max_restarts", "1"]
    done = run(*GOAL, *GIVEN, *launcher, "dying.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("restarts the run, and it was probed before") == 1
    assert reports(tmp_path / "reports") == ["preflight.json", "watch.json"]
    watched = json.loads((tmp_path / "reports" / "watch.json").read_text())
    assert watched["settings"]["preflight_steps"] > 0  # of the beginning that was lost
    assert watched["run"]["train_step"][-1] == 12


def test_what_was_refused_is_refused_when_a_launcher_starts_it_anew(tmp_path):
    first = SharedJournal(tmp_path, None, {"TORCHELASTIC_RESTART_COUNT": "0"})
    first.keep_outcome(Outcome(trained=True, refused=3))
    again = SharedJournal(tmp_path, None, {"TORCHELASTIC_RESTART_COUNT": "1"})
    assert again.earlier(1).refused == 3
    assert SharedJournal(tmp_path, None, {}).earlier(1).refused is None  # another beginning


def test_trainings_of_several_programs_have_folders_of_their_own(tmp_path):
    (tmp_path / "shared").mkdir()
    journals = [SharedJournal(tmp_path / "shared", tmp_path / "r", {}) for _ in range(2)]
    places = [journal.report_folder(number) for journal in journals for number in (1, 2)]
    assert places == [tmp_path / "r", *(tmp_path / "r" / f"training-{n}" for n in (2, 3, 4))]
    assert journals[0].report_folder(1) == tmp_path / "r"


DETACHED = """\
from pathlib import Path
import torch
import torch.distributed as dist
from tests.probing.models import bert, bert_trainer, lora
model = bert()
optimizer = torch.optim.AdamW(list(model.parameters()), lr=1e-3)
trainer = bert_trainer(
    Path("out"),
    model=lora(model, task_type="SEQ_CLS"),
    optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)),
    eval_strategy="steps",
    eval_steps=6,
)
Path(f"world{dist.get_rank()}").write_text(str(dist.get_world_size()))
trainer.train()
"""


@pytest.mark.slow
def test_a_no_go_under_accelerate_launch_leaves_with_our_status(tmp_path):
    (tmp_path / "detached.py").write_text(DETACHED)
    launcher = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2"]
    done = run("--goal", "eval_accuracy>=0.6", *GIVEN, *launcher, "detached.py", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert [(tmp_path / f"world{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    assert done.stderr.count("no-go: the training is not started") == 1
    assert reports(tmp_path / "reports") == ["preflight.json"]


# --- TRL's own commands -------------------------------------------------------------------------

TRL = """\
model_name_or_path: model
dataset_name: data
dataset_train_split: train
dataset_test_split: test
output_dir: out
max_steps: 8
eval_strategy: steps
eval_steps: 4
logging_steps: 4
save_strategy: "no"
per_device_train_batch_size: 2
per_device_eval_batch_size: 2
max_length: 12
use_cpu: true
bf16: false
report_to: none
gradient_checkpointing: false
"""

WORDS = [f"w{number}" for number in range(5)]


@pytest.fixture
def trl_folder(tmp_path: Path, tokenizer) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **size, **heads)).save_pretrained(
        tmp_path / "model"
    )
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "data").mkdir()
    (tmp_path / "config.yaml").write_text(TRL)
    return tmp_path


def write_rows(folder: Path, row: dict[str, str]) -> None:
    for split, count in (("train", 24), ("test", 8)):
        lines = [json.dumps(row) for _ in range(count)]
        (folder / "data" / f"{split}.jsonl").write_text("\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("sft", {"text": " ".join(WORDS)}),
        ("dpo", {"prompt": "w0 w1", "chosen": " w2", "rejected": " w3"}),
    ],
)
def test_a_trl_command_is_probed_and_watched(trl_folder, command, row):
    write_rows(trl_folder, row)
    done = run(
        "--action", "warn", *GIVEN, "trl", command, "--config", "config.yaml", cwd=trl_folder
    )
    assert done.returncode == 0, done.stderr
    assert reports(trl_folder / "reports") == ["preflight.json", "watch.json"]
    watched = json.loads((trl_folder / "reports" / "watch.json").read_text())
    assert watched["settings"]["trainer"] == {"sft": "SFTTrainer", "dpo": "DPOTrainer"}[command]
    assert watched["run"]["train_step"][-1] == 8
    assert watched["goal"]["metric"] == "eval_loss"
    assert (trl_folder / "out" / "model.safetensors").is_file()
