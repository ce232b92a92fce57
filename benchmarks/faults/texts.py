"""Cards with our marks anywhere, and secrets in text that leaves the machine."""

from __future__ import annotations

import random

from benchmarks.faults.cases import Outcome
from hf_ftrisk.errors import CardError
from hf_ftrisk.hub_repo.card import Marks, merge
from hf_ftrisk.redaction import clean_text


def mixed_cards(rng: random.Random, cases: int) -> Outcome:
    """Cards with our marks and keys anywhere: published twice is once, and no line is lost."""
    outcome = Outcome(cases)
    marks = Marks("ftrisk")
    body = [marks.begin, marks.end, "```", "~~~", "", "a person's line", f"  {marks.begin}"]
    front = ["ftrisk: 1", "ftrisk:\n  a: 1", "tags: [a]", "tags:\n- b", "x: 1", "y: |\n  ftrisk: 1"]
    for _ in range(cases):
        pairs = rng.choices(front, k=rng.randrange(5))
        lines = rng.choices(body, k=rng.randrange(10))
        head = f"---\n{chr(10).join(pairs)}\n---\n" if pairs else ""
        card = (head + "\n".join(lines)).replace("\n", rng.choice(["\n", "\r\n"]))
        try:
            once = _published(card, "A")
        except CardError:
            outcome.became["refused, nothing changed"] += 1
            continue
        outside, at = 0, 0
        for start, end in [*marks.find(card), (len(card), len(card))]:
            outside += card[at:start].count("a person's line")
            at = end
        if once != _published(once, "A") or once != _published(_published(card, "B"), "A"):
            outcome.lost.append("published twice is not published once")
        elif once.count("a person's line") < outside:
            outcome.lost.append("a line of the card")
        else:
            outcome.became["published, twice as once"] += 1
    return outcome


def _published(card: str, section: str) -> str:
    return merge(card, key="ftrisk", value={"version": 1}, tag="ftrisk", section=section)


def hidden_secrets(rng: random.Random, cases: int) -> Outcome:
    """Secrets of many kinds, put together with anything, in text that leaves the machine."""
    outcome = Outcome(cases)
    mark = "zq7x9kw2"
    kinds = [
        *(f"hf_{mark}ABCDEFGHIJKLMN", f"ghp_{mark}abcdefghijklmn", f"WANDB_API_KEY={mark}"),
        *(f"sk-{mark}abcdefghijklmn", f"AKIA{mark.upper()}ABCD", f"Bearer {mark}.abcdef"),
        *(f"s3://{mark}/x", f"Error:/home/{mark}/x", f"/home/{mark}/my files/{mark} 1/x"),
        *(f"C:\\Users\\{mark}\\x", f"--token {mark}", f"{mark}@example.org", f"~/{mark}/x"),
        *(f"postgres://a:{mark}@b/c", f"git@github.com:a/{mark}.git", f"{mark}.corp"),
    ]
    joints = [" ", ", ", "; ", " (", ": ", "\n", " at "]
    for _ in range(cases):
        words = rng.choices([*kinds, "loss", "0.5", "in", "'", "a_b"], k=rng.randrange(1, 6))
        cleaned = clean_text("".join(word + rng.choice(joints) for word in words))
        if mark in cleaned.lower():
            outcome.lost.append(f"a secret: {cleaned}")
        elif clean_text(cleaned) != cleaned:
            outcome.lost.append("cleaning twice changes more")
        else:
            outcome.became["clean"] += 1
    return outcome
