"""Every example runs as its first lines say, without a network; those that know nothing of us are
left as they are by `hf-ftrisk run`."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hf_ftrisk.report import RiskReport

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TRAINING = [
    *("--use_cpu", "--max_steps", "40", "--learning_rate", "5e-3", "--warmup_steps", "5"),
    *("--per_device_train_batch_size", "16", "--eval_strategy", "steps", "--eval_steps", "10"),
    *("--logging_steps", "10", "--save_strategy", "no", "--report_to", "none"),
    *("--disable_tqdm", "true"),
]
RUN = ["-m", "hf_ftrisk", "run", "--action", "warn", "--budget", "0.3", "--seeds", "1"]


def python(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *args]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def untimed(text: str) -> str:
    """The output without what differs from run to run: times and speeds."""
    return re.sub(r"'\w+_(runtime|per_second|time)': '[^']*'", "''", text)


def weights(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.safetensors")
    }


@pytest.mark.parametrize("name", ["text_classification", "sft_lora"])
def test_output_and_weights_are_those_of_a_run_under_python(tmp_path, name):
    script = [str(EXAMPLES / f"{name}.py"), "--output_dir", "out", *TRAINING]
    script += ["--bf16", "false"] if name == "sft_lora" else []
    outputs = []
    for folder, command in ((tmp_path / "plain", script), (tmp_path / "ours", [*RUN, *script])):
        folder.mkdir()
        outputs.append(untimed(python(*command, cwd=folder).stdout))
    assert outputs[0] == outputs[1]
    assert weights(tmp_path / "plain") == weights(tmp_path / "ours") != {}


@pytest.mark.parametrize(
    ("name", "goal", "extra"),
    [
        ("trainer_subclass", "eval_accuracy>=0.9", []),
        ("sequence_to_sequence", "eval_exact_match>=0.8", ["--predict_with_generate"]),
    ],
)
def test_a_script_that_knows_nothing_of_us_is_probed_and_watched(tmp_path, name, goal, extra):
    ours = [*RUN, "--goal", goal, "--report-dir", "reports"]
    script = [str(EXAMPLES / f"{name}.py"), "--output_dir", "out", *TRAINING, *extra]
    python(*ours, *script, cwd=tmp_path)
    assert RiskReport.load(tmp_path / "reports" / "preflight.json").forecast is not None
    watched = RiskReport.load(tmp_path / "reports" / "watch.json")
    assert watched.run.last_step == 40
    assert watched.outcome is not None


@pytest.mark.parametrize("name", ["callback", "accelerate_loop"])
def test_an_example_by_hand_tells_what_it_expected_and_what_came(tmp_path, name):
    out = python(str(EXAMPLES / f"{name}.py"), cwd=tmp_path).stdout
    assert "before the run:" in out
    assert "after it:" in out


def test_a_job_needs_no_file_beside_it(tmp_path):
    job = tmp_path / "job.py"
    job.write_text((EXAMPLES / "job.py").read_text())
    out = python("-P", str(job), cwd=tmp_path).stdout
    assert "before the run:" in out
    assert "after it:" in out


# PEP 723's own pattern: the block stands anywhere, and once.
HEAD = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_the_head_of_an_example_names_what_it_needs(path):
    (block,) = HEAD.finditer(path.read_text())
    head = tomllib.loads(re.sub(r"(?m)^# ?", "", block["content"]))
    needed = " ".join(head["dependencies"])
    assert "hf-ftrisk[train" in needed
    assert ("plots" in needed) == ("import pyplot" in path.read_text())
    assert ("trl" in needed) == ("from trl import" in path.read_text())


def test_every_example_stands_in_the_readme():
    readme = (EXAMPLES / "README.md").read_text()
    assert all(path.name in readme for path in EXAMPLES.glob("*.py"))
