"""attach_card: the section in the cards that real Trainers write and push; and never a fault."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import Trainer

from hf_ftrisk import FineTuneRiskCallback
from hf_ftrisk.hub import attach_card
from hf_ftrisk.hub_repo.card import metadata
from tests.hub.trainers import bert_trainer, sentence_trainer, sft_lora_trainer

REPO = "me/tiny"


class Watcher:
    """What a callback is to attach_card: an object with a report that changes."""

    def __init__(self, report=None):
        self.now = report

    @property
    def report(self):
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


def remote_card(hub, revision="main"):
    return hub.file(REPO, "README.md", revision=revision).decode()


def card_of(folder):
    return (folder / "README.md").read_bytes().decode()


def without_section(card):
    """What a Trainer's card is with our section and our metadata taken out again."""
    head, _, rest = card.partition("\n<!-- ftrisk:begin")
    return head + rest.partition("<!-- ftrisk:end -->\n")[2]


@pytest.fixture
def trainer(hub, tmp_path):
    return bert_trainer(tmp_path / "out", push_to_hub=True, hub_model_id=REPO)


@pytest.mark.slow
def test_a_training_that_pushes_its_checkpoints(hub, report, make_report, tmp_path):
    watcher = Watcher(report)
    trainer = bert_trainer(
        tmp_path / "out",
        push_to_hub=True,
        hub_model_id=REPO,
        save_strategy="steps",
        save_steps=1,
        hub_strategy="checkpoint",
    )
    attach_card(trainer, watcher)
    trainer.push_to_hub()
    trainer.train()
    trainer._finish_current_push()
    # The checkpoint pushes carry the card as it is.
    assert hub.repos["model", REPO].history()[0].message.startswith("Training in progress")
    assert "## Fine-tuning risk" in remote_card(hub)
    watcher.now = make_report(outcome=0.871)
    trainer.push_to_hub()
    card = remote_card(hub)
    assert card.count("ftrisk:begin") == 1
    assert "| Outcome |" in card
    data = metadata(card)
    assert data["ftrisk"]["outcome"] == 0.871
    assert data["tags"] == ["generated_from_trainer", "ftrisk"]
    # The Trainer's own part is up to date, and the prediction is no result.
    assert "### Training results" in card
    assert data["model-index"] == [{"name": "tiny", "results": []}]
    files = hub.repos["model", REPO].history()[0].files
    assert json.loads(files["ftrisk/report.json"])["outcome"] == 0.871
    assert files["ftrisk/report.png"].startswith(b"\x89PNG")
    assert not [name for name in files if name.startswith("_")]


@pytest.mark.slow
def test_sft_with_lora_and_checkpoint_pushes(hub, report, make_report, tmp_path):
    watcher = Watcher(report)
    trainer = sft_lora_trainer(
        tmp_path / "out", push_to_hub=True, hub_model_id=REPO, save_strategy="steps", save_steps=1
    )
    attach_card(trainer, watcher)
    trainer.train()
    trainer._finish_current_push()
    first = hub.repos["model", REPO].history()[0]
    assert first.message.startswith("Training in progress")
    assert b"## Fine-tuning risk" in first.files["README.md"]
    watcher.now = make_report(outcome=0.871)
    trainer.push_to_hub()
    card = remote_card(hub)
    assert card.count("ftrisk:begin") == 1
    assert "trained using [TRL]" in card
    assert "| Outcome |" in card
    assert {"ftrisk", "sft", "trl"} <= set(metadata(card)["tags"])


def test_pefts_own_card(hub, report, tmp_path):
    trainer = bert_trainer(tmp_path / "out", lora=True, push_to_hub=True, hub_model_id=REPO)
    attach_card(trainer, report)
    for _ in range(2):
        # Saves first, and so lets PEFT write its template into the same file.
        trainer.push_to_hub()
        data = metadata(remote_card(hub))
        assert data["library_name"] == "peft"
        assert {"ftrisk", "lora"} <= set(data["tags"])
        assert remote_card(hub).count("ftrisk:begin") == 1
        assert "Model Card for Model ID" not in remote_card(hub)
    # Edited between two pushes. PEFT changes the card each time it saves: it replaces the tags and
    # writes the front matter in its own style.
    path = tmp_path / "out" / "README.md"
    keys = "- ftrisk\n- mine\n# my comment\nlicense: 'mit'\n"
    edited = card_of(tmp_path / "out").replace("- ftrisk\n", keys, 1)
    path.write_text(edited.replace("# tiny\n", "# tiny\n\nMine.\n"), encoding="utf-8")
    for push in (trainer.push_to_hub, trainer.save_model, trainer.push_to_hub):
        push()
        data = metadata(remote_card(hub))
        assert {"mine", "lora", "ftrisk"} <= set(data["tags"])
        assert "# my comment\nlicense: 'mit'\n" in remote_card(hub)
        assert remote_card(hub).count("# tiny\n\nMine.\n") == 1
        assert remote_card(hub).count("- PEFT") == 1
        assert remote_card(hub).count("ftrisk:begin") == 1


@pytest.mark.slow
def test_sentence_transformers_own_card(hub, report, make_report, tmp_path):
    watcher = Watcher(report)
    trainer = sentence_trainer(tmp_path, push_to_hub=True, hub_model_id=REPO)
    attach_card(trainer, watcher)
    trainer.push_to_hub()
    path = tmp_path / "out" / "README.md"
    edited = card_of(tmp_path / "out").replace("tags:\n", "license: mit\ntags:\n- mine\n", 1)
    path.write_text(edited.replace("## Model Details", "Mine.\n\n## Model Details"))
    trainer.train()
    watcher.now = make_report(outcome=0.871)
    # The second one saves, which writes a card anew, and then pushes, which saves and writes again.
    for push in (trainer.push_to_hub, trainer.save_model):
        push()
        data = metadata(remote_card(hub))
        assert data["license"] == "mit"
        assert {"mine", "ftrisk", "sentence-transformers"} <= set(data["tags"])
        assert remote_card(hub).count("Mine.\n\n## Model Details") == 1
        assert remote_card(hub).count("ftrisk:begin") == 1
        assert "| Outcome |" in remote_card(hub)


def test_saving_elsewhere_does_not_touch_the_card(report, tmp_path):
    trainer = bert_trainer(tmp_path / "out", lora=True)
    attach_card(trainer, report)
    trainer.save_model(str(tmp_path / "out" / "checkpoint-1"))
    assert not (tmp_path / "out" / "README.md").exists()
    assert not (tmp_path / "out" / "_ftrisk").exists()
    checkpoint = card_of(tmp_path / "out" / "checkpoint-1")
    assert "ftrisk" not in checkpoint


def test_without_edits_the_card_is_the_trainers_with_the_section(report, tmp_path):
    plain = bert_trainer(tmp_path / "a")
    plain.create_model_card(model_name="m")
    trainer = bert_trainer(tmp_path / "b")
    attach_card(trainer, report)
    trainer.create_model_card(model_name="m")
    written = card_of(tmp_path / "b")
    for _ in range(2):
        trainer.create_model_card(model_name="m")
    assert card_of(tmp_path / "b") == written
    after = without_section(written)
    assert after.split("---\n", 2)[2] == card_of(tmp_path / "a").split("---\n", 2)[2]
    kept = {k: v for k, v in metadata(written).items() if k not in ("tags", "ftrisk")}
    assert kept == {k: v for k, v in metadata(card_of(tmp_path / "a")).items() if k != "tags"}


EDITS = [
    ("- generated_from_trainer\n", "- generated_from_trainer\n- my-tag\n"),
    ("library_name: transformers\n", "# my comment\nlicense: mit\nmine:\n  b: [1,  2]\n  a: x\n"),
    ("# m\n", "# m\n\nGeschrieben von Hand: \u00e9t\u00e9, \u8bad\u7ec3.\n"),
    ("## Intended uses & limitations\n\nMore information needed\n", "## Uses\n\nOnly at home.\n"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_persons_edits_outlive_the_next_cards(report, make_report, tmp_path, newline):
    watcher = Watcher(report)
    trainer = bert_trainer(tmp_path)
    attach_card(trainer, watcher)
    trainer.create_model_card(model_name="m")
    text = card_of(tmp_path)
    for old, new in EDITS:
        assert text.count(old) == 1
        text = text.replace(old, new)
    text += "\nAppended after the section.\n"
    (tmp_path / "README.md").write_bytes(text.replace("\n", newline).encode())
    trainer.train()
    watcher.now = make_report(outcome=0.871)
    # Several in a row, and one from a new process with the same folder.
    for _ in range(2):
        trainer.create_model_card(model_name="m")
    again = bert_trainer(tmp_path)
    attach_card(again, watcher)
    again.state.log_history = trainer.state.log_history
    again.state.global_step, again.state.epoch = 2, trainer.state.epoch
    again.create_model_card(model_name="m")
    raw = card_of(tmp_path)
    assert "\n" not in raw.replace(newline, "")
    card = raw.replace(newline, "\n")
    for _, new in EDITS[2:]:
        assert card.count(new) == 1
    assert "# my comment\nlicense: mit\nmine:\n  b: [1,  2]\n  a: x\n" in card
    assert "library_name" not in card
    assert "Intended uses" not in card
    assert card.endswith("\nAppended after the section.\n")
    assert metadata(card)["tags"] == ["generated_from_trainer", "my-tag", "ftrisk"]
    # What the Trainer has learned since is there too.
    assert "### Training results" in card
    assert "| Outcome |" in card
    assert card.count("ftrisk:begin") == 1


def test_a_hand_written_card_is_not_overwritten(report, tmp_path):
    own = "---\nlicense: mit # ours\n---\n\n# My model\n\nAll of this is mine.\n"
    (tmp_path / "README.md").write_text(own, encoding="utf-8")
    trainer = bert_trainer(tmp_path)
    attach_card(trainer, report)
    for _ in range(2):
        trainer.create_model_card(model_name="m")
        card = card_of(tmp_path)
        assert "\n---\n\n# My model\n\nAll of this is mine.\n" in card
        assert card.startswith("---\nlicense: mit # ours\n")
        data = metadata(card)
        assert data["library_name"] == "transformers"
        assert {"ftrisk", "generated_from_trainer"} <= set(data["tags"])


def test_the_card_of_an_earlier_run_is_replaced_and_kept_beside(report, tmp_path):
    earlier = bert_trainer(tmp_path)
    earlier.create_model_card(model_name="earlier")
    text = card_of(tmp_path).replace("---\n", "---\nlicense: mit\n", 1) + "\nMine.\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    trainer = bert_trainer(tmp_path)
    attach_card(trainer, report)
    trainer.create_model_card(model_name="new")
    card = card_of(tmp_path)
    assert "# new\n" in card
    assert "# earlier\n" not in card
    assert metadata(card)["license"] == "mit"
    assert (tmp_path / "_ftrisk" / "replaced_card.md").read_text(encoding="utf-8") == text


def test_metadata_the_hub_refuses_do_not_break_the_push(hub, report, trainer, caplog):
    folder = trainer.args.output_dir
    attach_card(trainer, report)
    trainer.create_model_card(model_name="m")
    with open(f"{folder}/README.md", encoding="utf-8") as file:
        text = file.read()
    with open(f"{folder}/README.md", "w", encoding="utf-8") as file:
        file.write(text.replace("---\n", "---\nlicense: nonsense\n", 1) + "\nMine.\n")
    hub.fail("validate", 400, body=b'{"errors": [{"message": "license is not one of ..."}]}')
    trainer.push_to_hub()
    card = remote_card(hub)
    assert "license" not in metadata(card)
    assert card.endswith("\nMine.\n")
    assert "## Fine-tuning risk" in card
    assert "the Hub refuses the metadata" in caplog.text


@pytest.mark.parametrize(
    "fault", [RuntimeError("broken watcher"), ValueError("token hf_abcdefghijk"), KeyError("x")]
)
def test_a_fault_of_ours_never_breaks_the_push(hub, trainer, fault, caplog):
    attach_card(trainer, Watcher(fault))
    with caplog.at_level(logging.DEBUG, logger="hf_ftrisk"):
        trainer.push_to_hub()
    assert "generated_from_trainer" in remote_card(hub)
    assert "Fine-tuning risk" not in remote_card(hub)
    assert f"goes without the risk section: {type(fault).__name__}" in caplog.text
    assert "hf_abcdefghijk" not in caplog.text


def test_a_fault_while_writing_leaves_the_trainers_card(report, tmp_path, monkeypatch):
    trainer = bert_trainer(tmp_path / "a")
    attach_card(trainer, report)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    trainer.create_model_card(model_name="m")
    monkeypatch.undo()
    plain = bert_trainer(tmp_path / "b")
    plain.create_model_card(model_name="m")
    assert card_of(tmp_path / "a") == card_of(tmp_path / "b")
    assert [path.name for path in (tmp_path / "a").rglob("*.tmp")] == []


def test_the_trainers_own_error_comes_through(report, tmp_path):
    class Fails(Trainer):
        def create_model_card(self, *args, **kwargs):
            raise LookupError("its own")

    trainer = bert_trainer(tmp_path, kind=Fails)
    attach_card(trainer, report)
    with pytest.raises(LookupError, match="its own"):
        trainer.create_model_card()


def test_only_the_main_process_writes(report, tmp_path):
    class Other(Trainer):
        def is_world_process_zero(self):
            return False

    trainer = bert_trainer(tmp_path, kind=Other)
    before = sorted(tmp_path.iterdir())
    attach_card(trainer, report)
    trainer.create_model_card()
    assert sorted(tmp_path.iterdir()) == before


def test_before_there_is_a_report_the_card_is_the_trainers(report, tmp_path):
    watcher = Watcher(None)
    trainer = bert_trainer(tmp_path)
    attach_card(trainer, watcher)
    trainer.create_model_card(model_name="m")
    assert "ftrisk" not in card_of(tmp_path)
    watcher.now = report
    trainer.create_model_card(model_name="m")
    assert "Fine-tuning risk" in card_of(tmp_path)


def test_a_second_attach_replaces_the_first(report, make_report, tmp_path):
    trainer = bert_trainer(tmp_path)
    attach_card(trainer, report)
    attach_card(trainer, make_report(outcome=0.5))
    trainer.create_model_card(model_name="m")
    assert card_of(tmp_path).count("ftrisk:begin") == 1
    assert metadata(card_of(tmp_path))["ftrisk"]["outcome"] == 0.5


def test_what_cannot_be_attached_is_said_at_once(report, tmp_path):
    with pytest.raises(TypeError, match="writes no model card"):
        attach_card(object(), report)
    with pytest.raises(TypeError, match=r"takes a RiskReport, or an object with a `report`.*dict"):
        attach_card(bert_trainer(tmp_path), {"report": 1})


@pytest.mark.slow
def test_the_callback_brings_prediction_and_truth(hub, tmp_path):
    trainer = bert_trainer(
        tmp_path / "out", push_to_hub=True, hub_model_id=REPO, max_steps=12, eval_steps=2
    )
    callback = FineTuneRiskCallback(goal="eval_loss<=0.9", action="warn").attach(trainer)
    attach_card(trainer, callback)
    trainer.train()
    trainer.push_to_hub()
    data = metadata(remote_card(hub))["ftrisk"]
    assert data["stage"] == "watch"
    last = [entry for entry in trainer.state.log_history if "eval_loss" in entry][-1]
    assert data["outcome"] == pytest.approx(last["eval_loss"], rel=1e-5)
    assert "forecast" in data
    assert "In the end it was" in remote_card(hub)


# One import, then a fork into two processes.
_TWO_PROCESSES = """
import sys
from pathlib import Path
import torch.distributed as dist
from accelerate import PartialState, debug_launcher
from hf_ftrisk.hub import attach_card
from hf_ftrisk.report import RiskReport
from tests.hub.trainers import bert_trainer

def work(folder, saved):
    rank = PartialState(cpu=True).process_index
    # A folder of its own for each rank: what a rank writes shows.
    trainer = bert_trainer(folder / f"rank{rank}", ddp_backend="gloo")
    attach_card(trainer, RiskReport.load(saved))
    trainer.create_model_card(model_name="m")
    (folder / f"size{rank}").write_text(str(dist.get_world_size()))

debug_launcher(work, (Path(sys.argv[1]), sys.argv[2]), num_processes=2)
"""


@pytest.mark.slow
def test_of_two_processes_one_writes(report, tmp_path):
    saved = report.save(tmp_path / "report.json")
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", _TWO_PROCESSES, str(tmp_path), str(saved)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [(tmp_path / f"size{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    assert "## Fine-tuning risk" in card_of(tmp_path / "rank0")
    assert not list((tmp_path / "rank1").rglob("*.md"))
    assert not list((tmp_path / "rank1").rglob("report.json"))


def test_peft_saved_by_hand_keeps_section_and_key(report, tmp_path):
    trainer = bert_trainer(tmp_path, lora=True)
    attach_card(trainer, report)
    trainer.create_model_card(model_name="m")
    trainer.model.save_pretrained(tmp_path)
    card = card_of(tmp_path)
    assert metadata(card)["ftrisk"]["verdict"] == "GO"
    assert card.count("ftrisk:begin") == card.count("ftrisk:end") == 1
