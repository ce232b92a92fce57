"""The demo's data and packages."""

from __future__ import annotations

from collections import Counter

import pytest

from hf_ftrisk.demo import packages
from hf_ftrisk.demo.data import answers, bbc_news, with_shuffled_targets
from hf_ftrisk.demo.packages import package_folder
from hf_ftrisk.errors import MissingDemoPackageError


def test_bbc_news_has_five_topics_and_no_article_in_both_parts() -> None:
    articles = bbc_news()
    assert articles.topics == ("business", "entertainment", "politics", "sports", "tech")
    assert {label for _, label in articles.train} == set(range(5))
    train = {text for text, _ in articles.train}
    assert len(articles.test) == 400
    assert len(train) == len(articles.train) > 1600
    assert not train & {text for text, _ in articles.test}


def test_questions_are_in_one_part_alone() -> None:
    pairs = answers()
    asked = [question for question, _ in (*pairs.train, *pairs.test)]
    assert len(asked) == len(set(asked))
    assert len(pairs.test) == 120
    assert len(pairs.train) > 500
    assert all(question.strip() and answer.strip() for question, answer in pairs.train)


def test_shuffling_keeps_texts_and_the_share_of_each_target() -> None:
    rows: list[tuple[str, object]] = [(f"text {i}", i % 3) for i in range(60)]
    shuffled = with_shuffled_targets(rows, seed=1)
    assert [text for text, _ in shuffled] == [text for text, _ in rows]
    assert Counter(target for _, target in shuffled) == Counter(target for _, target in rows)
    assert sum(a != b for (_, a), (_, b) in zip(rows, shuffled, strict=True)) > 20


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingDemoPackageError) as caught:
        package_folder("no_such_package_here", "no-such-package-here")
    assert "no-such-package-here" in str(caught.value)
    assert 'pip install "hf-ftrisk[demo]"' in str(caught.value)


def test_models_and_data_lie_in_their_packages() -> None:
    assert (packages.minilm_folder() / "model.safetensors").is_file()
    assert packages.smollm2_file().is_file()
