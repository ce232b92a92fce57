"""Our section of a model card beside the cards of TRL and sentence-transformers, in Chromium.

    python -m benchmarks.figures --only cards

Ours is what `publish` makes of a run that ships with the package, watched anew; the others are
written by the Trainers of those libraries. Needs a browser and the extra `test`.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from markdown_it import MarkdownIt
from PIL import Image

from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.record import RunRecord
from hf_ftrisk.replay.examples import load_example
from hf_ftrisk.report import RiskReport
from hf_ftrisk.watch.loop import watch_loop
from tests.browsing import launched

EXAMPLE, TITLE, GOAL = "sound", "Questions by topic", "eval_accuracy>=0.9"
HEIGHT = 1080
COLORS = 64
_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; display: flex; gap: 24px; padding: 20px; background: #fff;
  font: 15px/1.5 "DejaVu Sans", sans-serif; color: #1f2328; }}
main {{ width: 600px; height: {height}px; overflow: hidden; }}
header {{ font-weight: bold; color: #57606a; margin-bottom: 10px; }}
article {{ border: 1px solid #d0d7de; border-radius: 6px; padding: 4px 22px 30px; }}
h1, h2 {{ border-bottom: 1px solid #d8dee4; padding-bottom: 5px; line-height: 1.25; }}
table {{ border-collapse: collapse; margin: 0 0 14px; }}
th, td {{ border: 1px solid #d0d7de; padding: 5px 11px; text-align: left; }}
thead:not(:has(th:not(:empty))) {{ display: none; }}
pre {{ background: #f6f8fa; padding: 12px; overflow: hidden; font-size: 12px; }}
code {{ font-family: "DejaVu Sans Mono", monospace; font-size: 85%; }}
img {{ max-width: 100%; }}
</style>{columns}"""


def cards(path: Path) -> Path:
    """Draw the three cards as a reader of the Hub sees them, cut off at one height."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = {
            "hf_ftrisk": our_card(folder),
            "TRL": trl_card(folder / "trl"),
            "sentence-transformers": sentence_card(folder / "sentence"),
        }
        page = folder / "page.html"
        page.write_text(_page(columns), encoding="utf-8")
        with launched() as browser:
            sheet = browser.new_page(viewport={"width": 1888, "height": HEIGHT + 40})
            sheet.goto(page.as_uri())
            picture = sheet.screenshot()
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLORS)
    image.save(path, optimize=True)
    return path


def our_card(folder: Path) -> str:
    """The card that `publish` makes where there is none, its figure in `folder`."""
    parts = build_parts(watched())
    for name, content in parts.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return parts.merged_into(None, title=TITLE)


def watched() -> RiskReport:
    """The report of the example, watched as it went."""
    record = load_example(EXAMPLE).record
    losses = dict(zip(*_rows(record.finite_losses()), strict=True))
    evals = {name: dict(zip(*_rows(record.curve(name)), strict=True)) for name in record.evals}
    loop = watch_loop(GOAL, record.max_steps, history=None, baseline=_trivial(record))
    with loop as watch:
        loss = next(iter(losses.values()))
        for step in range(record.max_steps + 1):
            loss = losses.get(step, loss)
            if step:
                watch.step(loss=loss)
            seen = {name: values[step] for name, values in evals.items() if step in values}
            if seen:
                watch.evaluate(seen)
    assert loop.report is not None
    return loop.report


def _trivial(record: RunRecord) -> float:
    return record.baselines["eval_accuracy"]


def _rows(curve: tuple[np.ndarray, np.ndarray]) -> tuple[list[int], list[float]]:
    steps, values = curve
    return steps.astype(int).tolist(), values.tolist()


def trl_card(folder: Path) -> str:
    """What TRL's SFTTrainer writes of a tiny LoRA fine-tune."""
    from tests.hub.trainers import sft_lora_trainer

    trainer = sft_lora_trainer(folder)
    trainer.create_model_card(model_name="tiny-llama-lora")
    return (folder / "README.md").read_text(encoding="utf-8")


def sentence_card(folder: Path) -> str:
    """What sentence-transformers writes of a tiny model after its training."""
    from tests.hub.trainers import sentence_trainer

    trainer = sentence_trainer(folder)
    trainer.train()
    trainer.save_model()
    return (folder / "out" / "README.md").read_text(encoding="utf-8")


def _page(columns: dict[str, str]) -> str:
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    rendered = "".join(
        f"<main><header>{name}</header><article>{markdown.render(_body(card))}</article></main>"
        for name, card in columns.items()
    )
    return _PAGE.format(height=HEIGHT, columns=rendered)


def _body(card: str) -> str:
    """A card without its front matter."""
    return card.split("---\n", 2)[2] if card.startswith("---\n") else card


FIGURES = {"cards": cards}
