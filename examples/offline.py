# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""Tiny models, a tokenizer and data for the examples: built here, so that nothing is downloaded."""

from __future__ import annotations

import random
from itertools import product

from datasets import Dataset, DatasetDict
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

GOOD = ["lovely", "brilliant", "moving", "funny", "clever", "warm"]
BAD = ["dull", "clumsy", "tedious", "shallow", "noisy", "grim"]
THINGS = ["plot", "cast", "ending", "music", "dialogue", "pace", "camera", "humor"]
PLACES = ["in the cinema", "at home", "on a plane", "last night", "with friends", "again"]
FRAMES = [
    "the {thing} was {word} {place}",
    "we found the {thing} {word} {place}",
    "a {word} {thing} {place}",
    "what a {word} {thing} {place}",
]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]


def reviews(start: int, stop: int) -> Dataset:
    """Sentences about films, all different: text, and label 1 for praise. Rows of 2,304."""
    rows = [
        {"text": frame.format(word=word, thing=thing, place=place), "label": int(word in GOOD)}
        for frame, word, thing, place in product(FRAMES, [*GOOD, *BAD], THINGS, PLACES)
    ]
    random.Random(0).shuffle(rows)
    return Dataset.from_list(rows[start:stop])


def review_splits(train_rows: int = 512, eval_rows: int = 128) -> DatasetDict:
    """`reviews` as train and validation, without a row in common."""
    return DatasetDict(
        train=reviews(0, train_rows), validation=reviews(train_rows, train_rows + eval_rows)
    )


def questions(start: int, stop: int) -> Dataset:
    """Prompts and completions: is the review good or bad?"""
    data = reviews(start, stop)
    return Dataset.from_dict(
        {
            "prompt": [f"{text} : verdict ?" for text in data["text"]],
            "completion": [" good" if label else " bad" for label in data["label"]],
        }
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """Word-level: every word of the data is a token."""
    phrases = [*FRAMES, *PLACES, "verdict ? : good bad", *GOOD, *BAD, *THINGS]
    words = sorted({word for phrase in phrases for word in phrase.split() if "{" not in word})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=64,
    )


def classifier(vocabulary: int) -> BertForSequenceClassification:
    """BERT of two layers and 32 dimensions."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            num_labels=2,
        )
    )


def language_model(vocabulary: int) -> LlamaForCausalLM:
    """Llama of two layers and 32 dimensions."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
    )


def sequence_to_sequence(vocabulary: int) -> T5ForConditionalGeneration:
    """T5 of two layers and 32 dimensions."""
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=vocabulary,
            d_model=32,
            d_kv=16,
            d_ff=64,
            num_layers=2,
            num_heads=2,
            pad_token_id=0,
            eos_token_id=3,
            decoder_start_token_id=0,
        )
    )
