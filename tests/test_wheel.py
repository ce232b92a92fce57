"""The wheel: what a person installs holds the templates and finds them."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Run in a folder that is no checkout, with the unpacked wheel before everything else.
_PROBE = """
import json, sys
from pathlib import Path
import hf_ftrisk
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.reference import load_reference
from hf_ftrisk.hub_repo.rendering import templates
from hf_ftrisk.report import Cost, RiskReport
report = RiskReport(Goal("loss", target=0.5), Verdict.GO, ("why",), Cost(full_steps=10))
parts = build_parts(report, figure=False)
print(json.dumps({
    "package": str(Path(hf_ftrisk.__file__).parent),
    "templates": str(templates()),
    "names": sorted(path.name for path in templates().iterdir()),
    "card": parts.merged_into(None, title="t"),
    "reference": len(load_reference()),
    "torch": "torch" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the checkout without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_a_card_is_rendered_from_the_installed_templates(wheel, tmp_path):
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["package"] == str(unpacked / "hf_ftrisk")
    assert found["templates"] == str(unpacked / "hf_ftrisk" / "model_card_templates")
    checkout = sorted(path.name for path in (ROOT / "model_card_templates").iterdir())
    assert found["names"] == checkout
    assert "## Fine-tuning risk: predicted to end well (GO)" in found["card"]
    assert found["reference"] > 0
    assert found["torch"] is False


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (facts,) = (name for name in names if name.endswith("entry_points.txt"))
        entry_points = archive.read(facts).decode()
    assert {name.split("/")[0] for name in names} == {
        "hf_ftrisk",
        facts.split("/")[0],
    }
    assert "hf_ftrisk/py.typed" in names
    assert not [name for name in names if name.endswith((".pyc", ".db")) or "tests" in name]
    assert "hf-ftrisk = hf_ftrisk.cli:main" in entry_points


@pytest.mark.slow
def test_templates_are_found_in_a_package_that_stays_zipped(wheel, tmp_path):
    code = (
        "import hf_ftrisk; from hf_ftrisk.hub_repo.rendering import render; "
        "print(hf_ftrisk.__file__, render('model_card.md.jinja', {'title': 'mine'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{wheel}/hf_ftrisk" in done.stdout
    assert "# mine" in done.stdout
