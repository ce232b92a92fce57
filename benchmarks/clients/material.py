"""Tiny models, data and metric files for other people's training scripts, all made here.

The scripts name models, data sets and metrics as their users do: by a folder each. `evaluate.load`
takes a folder of the working directory before it asks the Hub.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

METRICS = Path(__file__).parent / "metrics"
GOOD = ["fine", "great", "lovely", "superb"]
BAD = ["awful", "bad", "dull", "poor"]
THINGS = ["book", "film", "meal", "play", "song", "story", "tune", "walk"]
FILLERS = ["a", "is", "it", "that", "the", "this", "very", "was", "where", "with"]
WORDS = [*GOOD, *BAD, *THINGS, *FILLERS]
GERMAN = {word: f"{word}_de" for word in WORDS}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>"]
LENGTH = 64
_CHAT = (
    "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    "{% if not add_generation_prompt %}</s>{% endif %}"
)


def build(folder: Path) -> None:
    """Everything the scripts need, below a folder that is then their working directory."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in METRICS.glob("*.txt"):
        (folder / file.stem).mkdir(exist_ok=True)
        shutil.copy(file, folder / file.stem / f"{file.stem}.py")
    (folder / "rewards.py").write_text(_REWARD)
    _models(folder)
    for name, rows in (("train", 240), ("test", 48)):
        _data(folder, name, rows, np.random.default_rng(rows))


_REWARD = '''\
def praise(completions, **given):
    """A share of words that praise."""
    words = [str(c[0]["content"] if isinstance(c, list) else c).split() for c in completions]
    good = {"fine", "great", "lovely", "superb"}
    return [sum(word in good for word in some) / max(len(some), 1) for some in words]
'''


def _tokenizer(template: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL, *WORDS, *GERMAN.values()]
    ids = {name: i for i, name in enumerate(names)}
    words = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template == "bert":
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
        )
    if template == "t5":
        words.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", ids["</s>"])]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        eos_token="</s>",
        model_max_length=LENGTH,
    )
    tokenizer.chat_template = _CHAT
    return tokenizer


def _models(folder: Path) -> None:
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
        set_seed,
    )

    size = len(SPECIAL) + 2 * len(WORDS)
    ends = {"pad_token_id": 0, "eos_token_id": SPECIAL.index("</s>")}
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    set_seed(0)
    bert = BertForMaskedLM(
        BertConfig(vocab_size=size, intermediate_size=64, pad_token_id=0, **small)
    )
    llama = LlamaForCausalLM(
        LlamaConfig(vocab_size=size, intermediate_size=64, num_key_value_heads=2, **small, **ends)
    )
    t5 = T5ForConditionalGeneration(
        T5Config(
            vocab_size=size,
            d_model=32,
            d_kv=16,
            d_ff=64,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
            **ends,
        )
    )
    for name, model in (("bert", bert), ("llama", llama), ("t5", t5)):
        model.save_pretrained(folder / name)
        _tokenizer(name).save_pretrained(folder / name)


def _sentence(rng: np.random.Generator, good: bool) -> list[str]:
    opinion = str(rng.choice(GOOD if good else BAD))
    return ["the", str(rng.choice(THINGS)), "was", str(rng.choice(["very", "a", "it"])), opinion]


def _data(folder: Path, split: str, count: int, rng: np.random.Generator) -> None:
    signs = rng.integers(0, 2, count).tolist()
    words = [_sentence(rng, bool(sign)) for sign in signs]
    texts = [" ".join(some) for some in words]
    tags = [["THING" if w in THINGS else "O" for w in some] for some in words]
    ends = [" ".join(_sentence(rng, not sign)[2:]) for sign in signs]
    _lines(folder / f"glue_{split}.json", _rows(sentence=texts, label=signs))
    _lines(
        folder / f"ner_{split}.json",
        _rows(
            tokens=words,
            ner_tags=[[f"B-{t}" if t != "O" else t for t in some] for some in tags],
        ),
    )
    questions = [
        {
            "id": str(i),
            "context": text,
            "question": "the where is it",
            "answers": {"text": [some[1]], "answer_start": [text.index(some[1])]},
        }
        for i, (text, some) in enumerate(zip(texts, words, strict=True))
    ]
    (folder / f"squad_{split}.json").write_text(json.dumps({"data": questions}))
    (folder / f"text_{split}.txt").write_text("\n".join(texts) + "\n")
    both = [{"en": t, "de": " ".join(GERMAN[w] for w in t.split())} for t in texts]
    _lines(folder / f"wmt_{split}.json", _rows(translation=both))
    prompts = [" ".join(some[:2]) for some in words]
    continuations = [" ".join(some[2:]) for some in words]
    _lines(folder / "sft" / f"{split}.jsonl", _rows(text=texts))
    pairs = _rows(prompt=prompts, chosen=continuations, rejected=ends)
    _lines(folder / "pairs" / f"{split}.jsonl", pairs)
    _lines(folder / "prompts" / f"{split}.jsonl", _rows(prompt=prompts))


def _rows(**columns: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _lines(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
