"""What the site does with the pages: formulas stay readable as text, and are set on the site."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "_build" / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks


@pytest.fixture(scope="module")
def formulas(hooks):
    return hooks.formulas


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("L_int drops out", "L<sub>int</sub> drops out"),
        ("falls to eta_c^2", "falls to η<sub>c</sub><sup>2</sup>"),
        ("K c^-alpha", "K c<sup>-α</sup>"),
        (
            "(alpha K / gamma)^(1 / (alpha + 1))",
            "(α K / γ)<sup>1 / (α + 1)</sup>",
        ),
        ("sqrt(L_int) >= delta", "√(L<sub>int</sub>) ≥ δ"),
        ("L chi2_(m-1) / m", "L χ²<sub>m-1</sub> / m"),
        ("X_d^(c)", "X<sub>d</sub><sup>(c)</sup>"),
    ],
)
def test_a_formula_is_set(formulas, plain, shown):
    assert formulas(plain) == shown


@pytest.mark.parametrize(
    "text", ["`fit.L_int`", "```python\neta_c = x**2\n```", "[a](x_alpha/eta_c.md)", "eval_loss"]
)
def test_code_and_addresses_stay_as_they_are(formulas, text):
    assert formulas(text) == text


def test_a_percentage_stays_on_one_line_and_code_as_it_is(hooks):
    page = '<p title="5 %">at most 5 %, or 2.5\n%</p><pre><code>f"{x} 5 %"</code></pre>'
    set_page = (
        '<p title="5 %">at most 5\u00a0%, or 2.5\u00a0%</p><pre><code>f"{x} 5 %"</code></pre>'
    )
    assert hooks.on_page_content(page) == set_page


HELP = """
**Commands**:

* `history`: Completed runs on disk: what...

## `hf-ftrisk history`

Completed runs on disk:
what a forecast rests on.

Example: `hf-ftrisk history --goal &quot;loss&lt;1&quot;`

* `--task`: The task&#x27;s name...

**Commands**:

* `add`: Add the runs...

### `hf-ftrisk history add`

Add the runs of reports.

**Usage**:
"""


def test_the_commands_help_is_told_in_full_and_its_code_can_be_typed(hooks):
    text = hooks.read_in_full(HELP)
    assert "* `history`: Completed runs on disk: what a forecast rests on.\n" in text
    assert "* `add`: Add the runs of reports.\n" in text
    assert '`hf-ftrisk history --goal "loss<1"`' in text
    assert "* `--task`: The task&#x27;s name...\n" in text


def test_no_page_needs_tex_to_be_read():
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert "\\frac" not in text, page
        assert "$$" not in text, page
