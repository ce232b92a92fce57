"""Plugins for programs that build their Trainers themselves: their files, and what they do.

axolotl, ms-swift and LLaMA-Factory ask for other versions of transformers than these tests run
with, so their packages are stood in for by the documented interface alone: the base class and the
methods a plugin has, the dict of callbacks, the function that is called. Where axolotl or ms-swift
is there all the same (docs/guides/plugins.md), its own classes read its file.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hf_ftrisk import FineTuneRiskCallback
from hf_ftrisk.run.options import RunOptions
from tests.probing.models import bert_trainer

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "examples" / "plugins"


def module(monkeypatch, name: str, **members) -> None:
    """A module of this name with these members, for one test."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        monkeypatch.setitem(
            sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end]))
        )
    made = types.ModuleType(name)
    vars(made).update(members)
    monkeypatch.setitem(sys.modules, name, made)


class BasePlugin:
    """The part of axolotl's that a plugin of ours stands on: every method does nothing."""

    def get_input_args(self):
        return None

    def post_trainer_create(self, cfg, trainer):
        return None


@pytest.fixture
def axolotl(monkeypatch):
    """Our plugin's module, as axolotl imports it."""
    module(monkeypatch, "axolotl.integrations.base", BasePlugin=BasePlugin)
    monkeypatch.delitem(sys.modules, "hf_ftrisk.integrations.axolotl", raising=False)
    import hf_ftrisk.integrations.axolotl as ours

    yield ours
    sys.modules.pop("hf_ftrisk.integrations.axolotl", None)


def plugin_named(name: str):
    """A plugin by its name, as axolotl finds it: module, dot, class."""
    place, _, kind = name.rpartition(".")
    return getattr(sys.modules[place], kind)()


def test_axolotls_yaml_names_the_plugin_and_its_options_are_read(axolotl):
    config = yaml.safe_load((PLUGINS / "axolotl.yaml").read_text())
    (name,) = config["plugins"]
    arguments = plugin_named(name).get_input_args()
    place, _, kind = arguments.rpartition(".")

    # axolotl's own configuration, with what its plugins add to it, drops what it does not know.
    class Configuration(getattr(sys.modules[place], kind)):
        model_config = ConfigDict(extra="ignore")
        base_model: str

    read = Configuration.model_validate(config).model_dump()
    given = axolotl.run_options(read["ftrisk"])
    assert [str(goal) for goal in given.goals] == ["eval_loss<=1.2"]
    assert given.report_dir == Path("reports")
    assert issubclass(axolotl.FtriskArgs, BaseModel)


def said_by(code: str, file: Path) -> str:
    """What a program prints that is given a file; a process of its own, without stand-ins."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


READ_BY_AXOLOTL = """\
import sys, yaml
from axolotl.integrations.base import PluginManager
from axolotl.integrations.config import merge_input_args
config = yaml.safe_load(open(sys.argv[1]))
plugins = PluginManager.get_instance()
for name in config["plugins"]:
    plugins.register(name)
_, kind = merge_input_args()
read = kind(**config)
from hf_ftrisk.integrations.axolotl import run_options
options = run_options(read.model_dump()["ftrisk"])
print(sorted(set(config) - set(kind.model_fields)), list(map(str, options.goals)))
"""


@pytest.mark.skipif(find_spec("axolotl") is None, reason="axolotl is not installed")
def test_axolotls_own_configuration_reads_its_yaml_and_our_part_of_it():
    assert said_by(READ_BY_AXOLOTL, PLUGINS / "axolotl.yaml") == "[] ['eval_loss<=1.2']"


READ_BY_SWIFT = """\
import sys
from swift.arguments import SftArguments
from swift.cli.main import parse_yaml_args
from swift.utils.utils import _patch_get_type_hints
from transformers import HfArgumentParser
words = [sys.argv[1]]
parse_yaml_args(words)
with _patch_get_type_hints():
    parser = HfArgumentParser([SftArguments])
read, unknown = parser.parse_known_args(words)
print(unknown, read.external_plugins, read.callbacks, read.eval_strategy)
"""


@pytest.mark.skipif(find_spec("swift") is None, reason="ms-swift is not installed")
def test_ms_swifts_own_arguments_read_its_yaml():
    said = said_by(READ_BY_SWIFT, PLUGINS / "swift.yaml")
    assert said == "[] ['swift_plugin.py'] ['ftrisk'] steps"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"gaol": "eval_loss"}, "gaol"), ({"action": "explode"}, "action"), ({"budget": 7}, "budget")],
)
def test_options_that_cannot_work_are_refused_by_name(axolotl, options, says):
    with pytest.raises((ValidationError, ValueError), match=says):
        axolotl.run_options(options)


def test_what_axolotls_yaml_leaves_out_is_as_for_hf_ftrisk_run(axolotl):
    assert axolotl.run_options({}) == RunOptions()
    assert axolotl.run_options({"history": "default"}).history == "default"
    assert axolotl.run_options({"history": "runs.db"}).history == Path("runs.db")
    assert axolotl.run_options({"history": False}).history is None


TRAINED = """\
import sys, types
for name in ("axolotl", "axolotl.integrations", "axolotl.integrations.base"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["axolotl.integrations.base"].BasePlugin = object
from hf_ftrisk.integrations.axolotl import FtriskPlugin
from pathlib import Path
from tests.probing.models import bert_trainer
trainer = bert_trainer(Path("out"), max_steps=12, eval_strategy="steps", eval_steps=4)
options = {"goal": "eval_accuracy>=0.6", "budget": 0.5, "seeds": 1, "action": "warn"}
FtriskPlugin().post_trainer_create({"ftrisk": {**options, "report_dir": "reports"}}, trainer)
trainer.train()
assert trainer.state.global_step == 12
"""


@pytest.mark.slow
def test_what_axolotl_trains_after_its_plugin_saw_the_trainer_is_judged(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRAINED],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    names = sorted(file.name for file in (tmp_path / "reports").iterdir())
    assert names == ["preflight.json", "watch.json"]


def test_axolotl_is_imported_by_nobody_but_axolotl():
    code = "import hf_ftrisk.integrations, sys; assert 'axolotl' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ms_swifts_yaml_names_the_file_and_the_callback_in_it(tmp_path, monkeypatch):
    callbacks: dict[str, object] = {}
    module(monkeypatch, "swift.callbacks", callbacks_map=callbacks)
    config = yaml.safe_load((PLUGINS / "swift.yaml").read_text())
    for file in config["external_plugins"]:
        exec(compile((PLUGINS / file).read_text(), file, "exec"), {"__name__": "plugin"})
    trainer = bert_trainer(tmp_path, max_steps=6, eval_strategy="steps", eval_steps=3)
    for name in config["callbacks"]:  # made as ms-swift makes them
        trainer.add_callback(callbacks[name](trainer.args, trainer))
    trainer.train()
    (watching,) = [
        one for one in trainer.callback_handler.callbacks if isinstance(one, FineTuneRiskCallback)
    ]
    assert watching.report.run.last_step == 6
    assert (Path(trainer.args.output_dir) / "ftrisk" / "watch.json").is_file()


def test_llama_factory_is_given_the_callback_and_reads_its_yaml(monkeypatch):
    given: list[object] = []
    module(
        monkeypatch,
        "llamafactory.train.tuner",
        run_exp=lambda args=None, callbacks=None: given.extend(callbacks),
    )
    source = (PLUGINS / "llamafactory_train.py").read_text()
    exec(compile(source, "llamafactory_train.py", "exec"), {"__name__": "__main__"})
    assert [type(one) for one in given] == [FineTuneRiskCallback]
    config = yaml.safe_load((PLUGINS / "llamafactory.yaml").read_text())
    assert config["do_train"] is True
    assert config["eval_strategy"] == "steps"
    assert isinstance(config["learning_rate"], float)  # YAML reads 2e-4 as text
    assert config["val_size"] > 0  # else nothing is evaluated


def test_unsloths_example_adds_a_plain_callback():
    tree = ast.parse((PLUGINS / "unsloth_train.py").read_text())
    imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    # Unsloth patches what is imported after it.
    assert imports.index("unsloth") < imports.index("trl")
    called = {getattr(node.func, "id", "") for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "FineTuneRiskCallback" in called


@pytest.mark.parametrize("off", [None, False, "off"])  # YAML reads off as False
def test_a_history_that_is_off_is_none(tmp_path, monkeypatch, off):
    monkeypatch.chdir(tmp_path)
    assert RunOptions(history=off).history is None
    assert not list(tmp_path.iterdir())
