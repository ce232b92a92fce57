"""Failures that the data and the untrained model already show: from static signals.

Signals are those of `hf_ftrisk.signals`, computed on a sample: shares of overlap and of conflicts
are lower bounds. A signal that is absent says nothing.
"""

from __future__ import annotations

from hf_ftrisk.diagnoses.evidence import Evidence
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Diagnosis

TRUNCATED_SHARE = 0.1
# Rows of a packed language-modeling set all reach the limit, and lose nothing by it.
PACKED_SHARE = 0.95
OVERLAP_SHARE = 0.05
NEAR_OVERLAP_SHARE = 0.2
CONFLICTING_SHARE = 0.02
# A language model that has seen text of the kind stays far below: a choice among 20 to 100 tokens.
ALIEN_PERPLEXITY = 1000.0
# Share of the run after which its own evaluations say more than a frozen model's features.
_OWN_EVIDENCE = 0.3


def truncated_inputs(evidence: Evidence) -> Diagnosis | None:
    """A tenth of the rows or more is cut at the length limit."""
    signals = evidence.signals
    share = signals.get("truncated_share")
    if share is None or share < TRUNCATED_SHARE:
        return None
    if share >= PACKED_SHARE and "classes" not in signals:
        return None
    limit = int(signals.get("tokens_max", 0))
    return Diagnosis(
        name="truncated_inputs",
        message=f"{percent(share)} of the sampled training rows are as long as the limit of "
        f"{limit} tokens: what came after was cut off.",
        advice=f"Raise the maximum length above {limit} tokens (twice as long, if memory allows), "
        "or split long rows; check that labels and answers are not in the part cut off.",
        evidence={"truncated_share": share, "tokens_max": float(limit)},
    )


def train_eval_overlap(evidence: Evidence) -> Diagnosis | None:
    """Evaluation rows that stand in the training set: the metric is better than the model."""
    signals = evidence.signals
    exact = signals.get("train_eval_overlap", 0.0)
    near = max(signals.get("train_eval_near_overlap", 0.0), exact)
    if exact < OVERLAP_SHARE and near < NEAR_OVERLAP_SHARE:
        return None
    return Diagnosis(
        name="train_eval_overlap",
        message=f"{percent(exact, '.1f')} of the sampled evaluation rows also appear word for word "
        f"in the training sample, {percent(near, '.1f')} with near duplicates: the evaluation "
        "metric looks better than the model is.",
        advice="Remove the evaluation rows from the training set (exact and near duplicates), then "
        "evaluate again.",
        evidence={"train_eval_overlap": exact, "train_eval_near_overlap": near},
    )


def conflicting_labels(evidence: Evidence) -> Diagnosis | None:
    """Equal rows under different labels: labels that contradict each other."""
    share = evidence.signals.get("conflicting_label_share")
    if share is None or share < CONFLICTING_SHARE:
        return None
    return Diagnosis(
        name="noisy_labels",
        message=f"{percent(share, '.1f')} of the sampled training rows also appear with another "
        "label.",
        advice="Read the rows that repeat with different labels: correct them, or keep only those "
        "with the majority label. The other labels were probably made the same way.",
        evidence={"conflicting_label_share": share},
    )


def data_model_mismatch(evidence: Evidence) -> Diagnosis | None:
    """The untrained model knows nothing of such text, or its features nothing of the label."""
    record, goal, signals = evidence.record, evidence.goal, evidence.signals
    perplexity = signals.get("perplexity")
    if perplexity is not None and perplexity >= ALIEN_PERPLEXITY and "classes" not in signals:
        return Diagnosis(
            name="data_model_mismatch",
            message=f"The perplexity of this text is {perplexity:,.0f} before training: the model "
            "has seen no such text, or gets it in the wrong form.",
            advice="Check tokenizer, language and chat template against the model's card; if they "
            "are right, take a model that was trained on such text.",
            evidence={"perplexity": perplexity},
        )
    probe = signals.get("linear_probe_accuracy")
    majority = signals.get("eval_majority_share", signals.get("majority_share"))
    if probe is None or majority is None or probe > majority:
        return None
    _, values = record.curve(goal.metric)
    baseline = record.baseline(goal)
    if baseline is not None and any(goal.is_better(float(v), baseline) for v in values):
        return None
    tried = record.progress >= _OWN_EVIDENCE and baseline is not None and values.size > 0
    return Diagnosis(
        name="data_model_mismatch",
        message=f"A linear probe on the frozen model's features reaches an accuracy of {probe:.3f} "
        f"on the evaluation rows, no better than the majority class ({majority:.3f}): the features "
        "say nothing about the label"
        + (f", and {goal.metric} has not passed the trivial baseline either." if tried else "."),
        advice="Try a model made for this language and domain; if that is no better, check that "
        "the labels can be told from the text.",
        severity="warning" if tried else "info",
        evidence={"linear_probe_accuracy": probe, "majority_share": majority},
    )
