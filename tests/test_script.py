"""`hf-ftrisk run` around scripts: they see and say what they would under python itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_ftrisk.script import ScriptNotFoundError, run_script

ROOT = Path(__file__).parents[1]

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
    assert "hf-ftrisk: the script left with status 3" in done.stderr


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
        (["--goal", "accuracy>=85", "code/mirror.py"], "0.85"),
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
