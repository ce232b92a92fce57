"""A watched run in a notebook: one panel, updated, beside the Trainer's own table."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
CODE = """
import sys; sys.path.insert(0, {root!r})
from pathlib import Path
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer
callback = FineTuneRiskCallback("eval_accuracy>=0.9")
trainer = bert_trainer(Path({out!r}), callbacks=[callback], disable_tqdm=False)
trainer.train()
print("LOOKS", len(callback.report.looks))
"""


@pytest.mark.slow
def test_looks_update_one_panel_and_print_no_lines(tmp_path: Path):
    cell = nbformat.v4.new_code_cell(CODE.format(root=str(ROOT), out=str(tmp_path)))
    book = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(book, timeout=200, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = book.cells[0].outputs
    pages = [o.data.get("text/html", "") for o in outputs if o.output_type == "display_data"]
    (panel,) = [page for page in pages if "[ftrisk" in page]
    assert panel.count("forecast eval_accuracy") >= 3
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "LOOKS" in printed
    assert "[ftrisk " not in printed
    assert any("Accuracy" in page for page in pages)  # the Trainer's own table is there too
