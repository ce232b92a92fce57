"""What a run says in a notebook: one panel that is updated, in place of a line for each look."""

from __future__ import annotations

import html
import sys
from typing import Any

# Lines that stay in sight.
_MAX_LINES = 12


class NotebookPanel:
    """A cell's output of its own, below what the Trainer shows there."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._lines: list[str] = []
        self._handle: Any = None

    def say(self, line: str) -> None:
        """Add a line; the oldest leave."""
        self._lines = [*self._lines, line][-_MAX_LINES:]
        text = html.escape("\n".join(self._lines))
        markup = self._display.HTML(f'<pre style="white-space: pre-wrap">{text}</pre>')
        if self._handle is None:
            self._handle = self._display.display(markup, display_id=True)
        else:
            self._handle.update(markup)


def notebook_panel() -> NotebookPanel | None:
    """A panel where this program runs in a notebook's kernel, else None."""
    if "IPython" not in sys.modules or "ipykernel" not in sys.modules:
        return None
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython import display, get_ipython

    return NotebookPanel(display) if isinstance(get_ipython(), ZMQInteractiveShell) else None
