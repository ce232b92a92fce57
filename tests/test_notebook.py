"""examples/first_look.ipynb runs as it stands, and is the same as its script."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_notebook_and_its_script_are_the_same():
    notebook = nbformat.read(EXAMPLES / "first_look.ipynb", as_version=4)
    script = jupytext.read(EXAMPLES / "first_look.py")
    assert [(c.cell_type, c.source) for c in notebook.cells] == [
        (c.cell_type, c.source) for c in script.cells
    ], "jupytext --sync examples/first_look.py"
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_the_notebook_runs_from_replay_to_card(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(EXAMPLES / "first_look.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output.get("text", "") for output in outputs)
    assert "learning rate 1e-07: NO_GO" in said
    assert "Cannot move" in said
    assert "## Fine-tuning risk" in said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
