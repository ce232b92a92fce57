"""The wheel: what a person installs holds what it needs, and needs no torch."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hf_ftrisk import __version__
from hf_ftrisk.replay.examples import NAMES, load_example

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
def built(tmp_path_factory):
    """The folder of the sdist, and of the wheel made from it, built without the network."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory):
    """An environment with the wheel, installed by pip, and its base dependencies alone."""
    return installed(tmp_path_factory.mktemp("base"), str(wheel))


@pytest.fixture(scope="module")
def editable(tmp_path_factory):
    """The same with the checkout, installed in the editable way of `make test`."""
    return installed(tmp_path_factory.mktemp("editable"), "--editable", str(ROOT))


def installed(folder: Path, *what: str) -> Path:
    """Folder of the commands of a new environment that pip installs `what` into.

    Dependencies are linked from the environment of the tests, so that no network is needed.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    (site,) = folder.glob("lib/python3*/site-packages")
    for builder in ("hatchling", "editables"):
        link(distribution(builder), site)
        for dependency in required(distribution(builder)).values():
            link(dependency, site)
    install = [*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, *what], check=True, timeout=120)
    (ours,) = site.glob("hf_ftrisk-*.dist-info")
    for dependency in required(Distribution.at(ours)).values():
        link(dependency, site)
    subprocess.run([*pip, "check"], check=True)  # nothing is missing, and nothing too old
    return folder / "bin"


def required(root):
    """What an installed distribution requires without extras, and what that does, by name."""
    distributions = {}
    waiting = [(root, {""})]
    while waiting:
        one, extras = waiting.pop()
        for line in one.requires or ():
            wanted = Requirement(line)
            marker = wanted.marker
            asked = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
            if asked and wanted.name not in distributions:
                distributions[wanted.name] = distribution(wanted.name)
                waiting.append((distributions[wanted.name], wanted.extras | {""}))
    return distributions


def link(dependency: Distribution, site: Path) -> None:
    """Make an installed distribution importable from another environment, and known to its pip."""
    files = dependency.files or []
    for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
        target = site / top
        if not target.exists():
            target.symlink_to(dependency.locate_file(top))


def probed(python: str, elsewhere: Path, **environment: str) -> dict:
    """What `_PROBE` finds in a folder that is no checkout."""
    elsewhere.mkdir()
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", _PROBE],
        cwd=elsewhere,
        env=outside | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def template_names() -> list[str]:
    return sorted(path.name for path in (ROOT / "model_card_templates").iterdir())


@pytest.mark.slow
def test_a_card_is_rendered_from_the_installed_templates(wheel, tmp_path):
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    facts = probed(sys.executable, tmp_path / "elsewhere", PYTHONPATH=str(unpacked))
    assert facts["package"] == str(unpacked / "hf_ftrisk")
    assert facts["templates"] == str(unpacked / "hf_ftrisk" / "model_card_templates")
    assert facts["names"] == template_names()
    assert "## Fine-tuning risk: predicted to end well (GO)" in facts["card"]
    assert facts["reference"] > 0
    assert facts["torch"] is False


@pytest.mark.slow
def test_an_editable_install_finds_the_checkouts_templates(editable, tmp_path):
    facts = probed(str(editable / "python"), tmp_path / "elsewhere")
    assert facts["package"] == str(ROOT / "hf_ftrisk")
    assert Path(facts["templates"]).resolve() == ROOT / "model_card_templates"
    assert facts["names"] == template_names()
    assert "## Fine-tuning risk: predicted to end well (GO)" in facts["card"]


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
    assert {f"hf_ftrisk/examples/{name}.json" for name in NAMES} <= set(names)
    assert {"hf_ftrisk/schemas/replay.json", "hf_ftrisk/replay/page.html.jinja"} <= set(names)
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


@pytest.mark.slow
def test_replay_runs_where_the_wheel_and_its_base_dependencies_are_all_there_is(base, tmp_path):
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps(load_example("sound").state))

    def run(*command):
        outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [str(base / command[0]), *command[1:]],
            cwd=tmp_path,
            env=outside,
            capture_output=True,
            text=True,
            timeout=120,
        )

    probe = "import torch"
    assert "No module named 'torch'" in run("python", "-c", probe).stderr
    assert run("python", "-c", "import hf_ftrisk, hf_ftrisk.replay").returncode == 0
    replayed = run("hf-ftrisk", "replay", "--example", "sound")
    assert replayed.returncode == 0, replayed.stderr
    assert "outcome: 0.926 (good)" in replayed.stdout
    for command in (["--help"], ["history", "--help"], ["history", "import", "runs.db", str(file)]):
        assert run("hf-ftrisk", *command).returncode == 0
    for command in (["card", str(file)], ["publish", str(file), "me/tiny"]):
        refused = run("hf-ftrisk", *command)
        assert refused.returncode == 2, refused.stderr  # no card, no report: not a missing package
        assert "Traceback" not in refused.stderr
    told = json.loads(run("hf-ftrisk", "doctor", "--json").stdout)
    assert told["hf_ftrisk"] == __version__
    (train,) = (extra for extra in told["extras"] if extra["extra"] == "train")
    assert "torch" in train["missing"]
    page = run("hf-ftrisk", "replay", "--example", "sound", "--html", "out.html")
    assert page.returncode == 2
    assert 'pip install "hf-ftrisk[html]"' in page.stderr.replace("\n", " ")
    asked = run("hf-ftrisk", "run", "train.py")
    assert asked.returncode == 2
    assert 'pip install "hf-ftrisk[train]"' in asked.stderr


@pytest.mark.slow
def test_the_hubs_own_command_runs_it_as_an_extension(base, tmp_path):
    # As `hf extensions install OWNER/hf-ftrisk` leaves it: an environment with this package's
    # script of the repository's name, and a manifest.
    manifest = {
        "owner": "owner",
        "repo": "hf-ftrisk",
        "repo_id": "owner/hf-ftrisk",
        "short_name": "ftrisk",
        "executable_path": str(base / "hf-ftrisk"),
        "type": "python",
        "installed_at": "2026-11-29T00:00:00+00:00",
    }
    folder = tmp_path / ".local" / "share" / "hf" / "extensions" / "hf-ftrisk"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HF_HUB_OFFLINE")}
    outside |= {"HOME": str(tmp_path), "HF_HUB_DISABLE_UPDATE_CHECK": "1"}

    def hf(*arguments):
        return subprocess.run(
            [str(Path(sys.executable).parent / "hf"), *arguments],
            cwd=tmp_path,
            env=outside,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert "hf ftrisk" in hf("extensions", "list").stdout
    replayed = hf("ftrisk", "replay", "--example", "sound")
    assert replayed.returncode == 0, replayed.stderr
    assert "outcome: 0.926 (good)" in replayed.stdout
    assert hf("ftrisk", "replay", "none.json").returncode == 2
