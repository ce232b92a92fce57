"""The names a user imports: there, documented, cheap to reach."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import hf_ftrisk
from hf_ftrisk import __all__ as public_names


@pytest.mark.parametrize("name", public_names)
def test_a_public_name_can_be_imported_and_has_a_docstring(name: str) -> None:
    assert (inspect.getdoc(getattr(hf_ftrisk, name)) or "").strip()


@pytest.mark.parametrize(
    "name", ["preflight", "publish", "attach_card", "fit_risk_curve", "rank", "watch_loop"]
)
def test_a_public_function_stays_callable_however_often_it_is_imported(name: str) -> None:
    for _ in range(2):
        imported = getattr(__import__("hf_ftrisk", fromlist=[name]), name)
        assert callable(imported)


def test_preflight_shows_every_keyword_it_takes() -> None:
    shown = inspect.signature(hf_ftrisk.preflight)
    assert list(shown.parameters) == list(inspect.signature(hf_ftrisk.PreflightRunner).parameters)
    assert shown.parameters["budget"].default == 0.05


def test_preflight_refuses_what_is_no_trainer() -> None:
    with pytest.raises(TypeError, match="transformers Trainer"):
        hf_ftrisk.preflight(object(), goal="eval_accuracy>=0.5", progress=False)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = hf_ftrisk.no_such_name


def test_dir_lists_the_public_names() -> None:
    assert set(public_names) <= set(dir(hf_ftrisk))


_IMPORT = """
import time
start = time.perf_counter()
import hf_ftrisk
seconds = time.perf_counter() - start
import sys
print(seconds, "torch" in sys.modules, "transformers" in sys.modules)
"""


def test_importing_the_package_is_cheap_and_loads_no_torch() -> None:
    def measured() -> tuple[float, str]:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True
        )
        seconds, loaded = done.stdout.split(" ", 1)
        return float(seconds), loaded.strip()

    runs = [measured() for _ in range(3)]
    assert {loaded for _, loaded in runs} == {"False False"}
    assert min(seconds for seconds, _ in runs) < 0.3


_PURE = (
    "goal",
    "record",
    "replay.replay",
    "replay.text",
    "report.wording",
    "diagnoses.trajectory",
    "signals.dataset",
    "history",
    "risk",
    "forecast.forecaster",
    "forecast.learned",
    "policy",
    "report",
    "privacy",
)


def test_the_pure_rooms_import_neither_torch_nor_transformers() -> None:
    imports = "\n".join(f"import hf_ftrisk.{package}" for package in _PURE)
    check = "import sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{check}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
