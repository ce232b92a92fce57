"""Names from outside are text in the card, whatever they spell: YAML, Markdown, HTML or Jinja."""

import dataclasses
import html
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.hub.parts import build_parts
from hf_ftrisk.hub.publishing import publish
from hf_ftrisk.hub_repo.card import Marks, metadata, parts
from hf_ftrisk.hub_repo.rendering import escape
from hf_ftrisk.report import RiskReport
from hf_ftrisk.verdict import Diagnosis

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "</td></table><script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<!-- ftrisk:end -->",
    "<!-- ftrisk:begin -->",
    "--> <b>out</b>",
    "![x](https://evil.example/track.png)",
    "[click](javascript:alert(1))",
    "https://evil.example/login",
    "www.evil.example",
    "| a | b |",
    "\n\n# A new heading\n\n- item",
    "\n---\nlicense: mit\n---\n",
    "{{ 7*7 }}{{ config.__class__.__mro__ }}",
    "{% for x in range(10**9) %}x{% endfor %}",
    "{# comment #}",
    "`code` ```\nblock\n```",
    "**bold** _it_ ~~gone~~ \\* &lt;b&gt; &#60;b&#62;",
    "$x^2$ $$y$$ \\(z\\)",
    'a: b\n"c": [d', "!!python/object/apply:os.system ['id']", "&a *a",
    "@everyone #1 user@example.com",
    "x" * 5000,
    "\u202egnp.exe\u202c \u200b\u0000\u0007",
    "1. first", "- item", "+ item", "> quote", "    code", "=====",
    "\u8bad\u7ec3 \u00e9t\u00e9 \U0001f917",
]  # fmt: skip


def hostile_report(report, text):
    """A report with the text in every place that takes text."""
    return dataclasses.replace(
        report,
        goal=Goal(f"m{text}", target=0.85, greater_is_better=True),
        reasons=(text, f"because {text}"),
        notes=(text,),
        forecast=Forecast(report.forecast.samples, step=120, source=text),
        diagnoses=(Diagnosis(text, text, text, evidence={text: 1.0}),),
        signals={text: 1.0},
        settings={"model": text, "dataset": text, "versions": {text: text}, "recipe": [text]},
        cost=dataclasses.replace(report.cost, full_money=1.0, currency=text),
    )


def tokens(markdown):
    for token in MARKDOWN.parse(markdown):
        yield token
        yield from token.children or ()


def shape(markdown):
    """What Markdown makes of a text, but for the text itself."""
    return [(token.type, token.tag, token.nesting) for token in tokens(markdown)]


# What ends the fold and the section's closing mark are one block of HTML.
FOLD = [
    "<details>\n<summary>How this was measured</summary>",
    "</details>\n<!-- ftrisk:end -->",
]


def check(card):
    body = parts(card).body
    data = metadata(card)
    assert set(data) == {"license", "tags", "ftrisk"}
    assert data["license"] == "mit"
    assert len(Marks("ftrisk").find(body)) == 1
    assert body.startswith("\n# Mine\n")
    assert body.endswith("\n<!-- ftrisk:end -->\n")
    nodes = list(tokens(body))
    # No HTML of any kind but our two marks and the fold; no links and images but our own.
    raw = [t.content.strip() for t in nodes if t.type in ("html_block", "html_inline")]
    assert [text for text in raw if not text.startswith("<!-- ftrisk:")] == FOLD
    links = {t.attrGet("href") for t in nodes if t.type == "link_open"}
    assert links == {"ftrisk/report.json", "https://arxiv.org/abs/2606.17649"}
    assert not [t for t in nodes if t.type == "image"]
    headings = [t for t in nodes if t.type == "heading_open" and t.tag == "h1"]
    assert len(headings) == 1
    # And nothing that renders to active content, or that a template engine would run.
    for mark in ("{{", "{%", "{#", "<script", "<img"):
        assert mark not in body


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_out_of_the_card(report, text):
    made = build_parts(hostile_report(report, text), figure=False)
    card = "---\nlicense: mit\n---\n\n# Mine\n"
    merged = made.merged_into(card, title="t")
    check(merged)
    assert RiskReport.from_dict(json.loads(made.files["ftrisk/report.json"]))


def test_every_text_gives_the_same_structure(report):
    plain = shape(build_parts(hostile_report(report, "word"), figure=False).section)
    for text in HOSTILE:
        section = build_parts(hostile_report(report, text), figure=False).section
        assert shape(section) == plain, text


@settings(deadline=None, max_examples=150)
@given(st.text("<>!-[]()*_`|~#&;:/\\{}%$@.= 1a\n\t\"'+^", max_size=24))
def test_escaped_text_renders_as_itself(text):
    shown = " ".join(text.split())
    for before, after in (("", ""), ("| ", " |"), ("- ", "")):
        table = "| |\n|---|\n" if before == "| " else ""
        rendered = MARKDOWN.render(f"{table}{before}x {escape(text)}{after}\n")
        inner = re.sub(r"<(?:/?(?:p|ul|li|table|thead|tbody|tr|th|td))>|\n", "", rendered)
        assert html.unescape(inner) == (f"x {shown}").strip()


def test_a_hostile_repository_title(hub, report):
    """The title of a new card comes from the repository's name, which the client checks."""
    hub.make("me/a_b.c-d")
    publish(report, "me/a_b.c-d", figure=False)
    assert "# a_b.c-d\n" in hub.file("me/a_b.c-d", "README.md").decode()


def test_the_figure_takes_hostile_text(report):
    made = build_parts(hostile_report(report, "$\\frac{ {{x}} <b> $"), figure=True)
    assert made.files["ftrisk/report.png"].startswith(b"\x89PNG")
