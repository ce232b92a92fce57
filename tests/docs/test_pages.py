"""What a newcomer asks is answered at once, and pages of use are free of benchmark tables."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
QUESTIONS = (
    "Will it stop a good run?",
    "What does it cost?",
    "Does it work with my trainer?",
    "What leaves my machine?",
)
UNDECIDED = ("Why undecided?", "Why does it say undecided?")
USE = sorted(
    path for folder in ("start", "guides", "concepts") for path in DOCS.glob(folder + "/*")
)
MAX_ROWS = 40


def rows_of_tables(text: str) -> list[int]:
    """Rows of each Markdown table, without its head."""
    runs = groupby(text.splitlines(), key=lambda line: line.startswith("|"))
    return [len(list(lines)) - 2 for is_table, lines in runs if is_table]


@pytest.mark.parametrize("question", [*QUESTIONS, UNDECIDED[0]])
def test_the_first_page_answers_what_a_newcomer_asks_and_links_to_more(question: str) -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    _, asked, rest = text.partition(f"**{question}**")
    assert asked
    answer = re.split(r"\n\n", rest)[0]
    assert re.search(r"\]\([\w/-]+\.md", answer)


@pytest.mark.parametrize("question", [*QUESTIONS, UNDECIDED[1]])
def test_the_questions_page_one_click_away_answers_it_at_length(question: str) -> None:
    text = (DOCS / "faq.md").read_text(encoding="utf-8")
    _, asked, rest = text.partition(f"## {question}\n")
    assert asked
    assert len(rest.partition("\n## ")[0].split()) > 30
    assert "](docs/faq.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "faq.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", USE, ids=lambda page: page.stem)
def test_a_page_of_use_holds_no_table_that_a_benchmark_writes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert ": begin -->" not in text
    assert max(rows_of_tables(text), default=0) <= MAX_ROWS


@pytest.mark.parametrize("page", sorted(DOCS.glob("evidence/*.md")), ids=lambda page: page.stem)
def test_a_long_table_of_evidence_is_a_file_beside_its_page(page: Path) -> None:
    assert max(rows_of_tables(page.read_text(encoding="utf-8")), default=0) <= MAX_ROWS


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_the_tests_and_benchmarks_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = set(re.findall(r"\b(?:tests|benchmarks|examples)/[\w/]+\.(?:py|ipynb)", text))
    modules = [name.replace(".", "/") for name in re.findall(r"python -m (benchmarks[.\w]+)", text)]
    files |= {name + ".py" if (ROOT / f"{name}.py").exists() else name for name in modules}
    assert not {name for name in files if not (ROOT / name).exists()}
