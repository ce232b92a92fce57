"""Metrics by name: which direction is better, and in what range their values lie.

The one table of them. It knows the metrics of evaluate, scikit-learn, seqeval,
sentence-transformers, TRL, torchmetrics and the usual shorthands. Names come with the set, the
average, the similarity or the rank they were computed with, which say nothing about either:
``eval_dev_f1_macro``, ``rouge2_fmeasure``, ``ndcg@10``, ``spearman_cosine``, ``macro f1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

MetricKind = Literal["rate", "percent", "loss", "correlation", "real"]
# What a metric makes of a loss by its definition: its exponential, 1 less it, its negative.
LossForm = Literal["exponential", "complement", "negative"]


@dataclass(frozen=True)
class MetricFacts:
    """What a metric's name says.

    Args:
        kind: range of its values: ``"rate"`` [0, 1], ``"percent"`` [0, 100], ``"correlation"``
            [-1, 1], ``"loss"`` [0, inf), ``"real"`` anywhere.
        greater_is_better: its direction.
        mostly_below: where values of an unbounded kind mostly end, 1 for errors per reference
            word; None where there is no such place.
        begins_near_zero: a share of which a model at its beginning often has less than 1 %: what it
            generates is compared with a reference.
        chance_level: a share of which a model that has learned nothing mostly has far more than
            1 %: it has few answers to choose from.
        loss_form: what it makes of a loss: a perplexity is the exponential of a cross-entropy, and
            at least 1; R2 is 1 less a share of the variance, and at most 1.
    """

    kind: MetricKind
    greater_is_better: bool
    mostly_below: float | None = None
    begins_near_zero: bool = False
    chance_level: bool = False
    loss_form: LossForm | None = None


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Shares of right answers, in [0, 1]; many programs report them in percent.
_RATES_UP = _names("""
    subset_accuracy f1 f1_score f1score f f05 f2 f_score
    f_beta fbeta fmeasure f_measure f1_measure precision recall prec rec ppv npv tpr tnr sensitivity
    auprc pr_auc prauc average_precision ap lrap
    label_ranking_average_precision map mar mean_average_precision mean_average_recall em exact
    exact_match ndcg dcg_normalized mrr reciprocal_rank mean_reciprocal_rank hit hits hit_rate
    hits_rate success_rate win_rate pass pass_rate iou miou jaccard jaccard_index jaccard_score dice
    dice_score gmean geometric_mean top ssim ms_ssim stoi mauve
    panoptic_quality pq nmi normalized_mutual_info ami v_measure homogeneity completeness purity
    fowlkes_mallows rand_score r_precision combined_score acceptance_rate wip bertscore distinct
    anls discounted_cumulative_gain uar unweighted_average_recall aupr gini solve_rate
    compliance_rate parse_rate validity_rate format_rate dsc
""")
# The same of a choice among few answers.
_CHANCES = _names("""
    accuracy acc accuracies balanced_accuracy specificity auc auroc roc_auc rocauc roc
    c_index concordance_index bacc
""")
# The same of generated text, measured against a reference.
_OVERLAPS = _names("""
    bleu gleu google_bleu rouge rouge_l rouge_lsum rouge_w rougel rougelsum rougew meteor
""")
# Shares of wrong answers, in [0, 1] or in percent.
_RATES_DOWN = _names("""
    error_rate err eer classification_error misclassification_rate zero_one_loss hamming_loss
    hamming_distance brier brier_score brier_score_loss ece mce calibration_error
    expected_calibration_error fpr fnr fall_out false_positive_rate false_negative_rate
    hallucination hallucination_rate toxicity toxicity_ratio harmfulness repetition mer wil
    match_error_rate der jer diarization_error_rate jaccard_error_rate refusal_rate frr fpr95
    false_acceptance_rate false_rejection_rate false_alarm_rate false_match_rate fmr fnmr
    false_non_match_rate false_discovery_rate fdr false_omission_rate miss_rate violation_rate
    top1_error top5_error top_1_error top_5_error hter ser sentence_error_rate
""")
# Scores that their library itself reports on a scale of 0 to 100.
_PERCENTS_UP = _names("sacrebleu sacre_bleu chrf chrf++ sari squad_f1")
_CORRELATIONS = _names("""
    pearson pearsonr pearson_corrcoef spearman spearmanr spearman_corrcoef kendall kendalltau
    kendall_tau kendall_rank_corrcoef matthews matthews_correlation matthews_corrcoef mcc phi corr
    correlation corrcoef concordance_corrcoef ccc kappa cohen_kappa qwk quadratic_weighted_kappa
    cosine_similarity cosine_sim adjusted_rand adjusted_rand_score ari silhouette silhouette_score
    weighted_kappa krippendorff_alpha pcc plcc srcc krcc youden
""")
# Errors per reference word, character or shot: insertions carry them above 1.
_ERRORS_PER_WORD = _names("""
    wer cer ter word_error_rate char_error_rate character_error_rate translation_edit_rate
    charcut phoneme_error_rate
""")
_PERPLEXITIES = _names("perplexity ppl")
_LOSSES = _names("""
    loss nll negative_log_likelihood neg_log_likelihood log_loss logloss mse rmse mae mape smape
    wmape mase msle rmsle medae mean_squared_error root_mean_squared_error mean_absolute_error
    median_absolute_error mean_absolute_percentage_error symmetric_mean_absolute_percentage_error
    mean_squared_log_error max_error squared_error absolute_error absolute_percentage_error
    root_squared_error squared_log_error pinball_loss mean_pinball_loss deviance poisson_deviance
    gamma_deviance tweedie_deviance quantile_loss huber cross_entropy xent entropy_loss kl
    kl_divergence divergence js_divergence bits_per_byte bpb bits_per_character bpc bits_per_dim
    hinge hinge_loss triplet_loss contrastive_loss coverage_error ranking_loss
    label_ranking_loss fid kid lpips hausdorff hausdorff_distance edit_distance levenshtein
    levenshtein_distance wasserstein wasserstein_distance earth_movers_distance chamfer_distance
    euclidean_distance manhattan_distance distance error davies_bouldin_score rmse_score
    mse_score mae_score ade fde epe dtw nrmse nmse crps mpjpe pa_mpjpe minade minfde hd95
    hausdorff95 assd chamfer abs_rel sq_rel silog jsd emd mcd min_dcf mindcf bits_per_token bpt
""")
# Shares of the variance that are explained: below 0 where a constant does better.
_EXPLAINED = _names("""
    r2 r2_score r_squared r^2 explained_variance explained_variance_score d2 d2_score nse
""")
_REALS_UP = _names("""
    reward rewards margin margins nist cider spice bleurt comet psnr snr si_snr si_sdr
    sdr si_sdri sdri pesq mos inception_score dcg
    log_likelihood loglikelihood elo sharpe dnsmos calinski_harabasz_score mutual_info utility
    return returns episode_reward episodic_return
""")

_TABLE: dict[str, MetricFacts] = {
    **{name: MetricFacts("rate", True) for name in _RATES_UP},
    **{name: MetricFacts("rate", True, chance_level=True) for name in _CHANCES},
    **{name: MetricFacts("rate", True, begins_near_zero=True) for name in _OVERLAPS},
    **{name: MetricFacts("rate", False) for name in _RATES_DOWN},
    **{
        name: MetricFacts("percent", True, begins_near_zero=name.endswith("bleu"))
        for name in _PERCENTS_UP
    },
    **{name: MetricFacts("correlation", True) for name in _CORRELATIONS},
    **{name: MetricFacts("loss", False, mostly_below=1.0) for name in _ERRORS_PER_WORD},
    **{name: MetricFacts("loss", False) for name in _LOSSES},
    **{name: MetricFacts("loss", False, loss_form="exponential") for name in _PERPLEXITIES},
    **{name: MetricFacts("real", True, loss_form="complement") for name in _EXPLAINED},
    **{name: MetricFacts("real", True) for name in _REALS_UP},
}
# An error per word above this is one in percent: no more than a few insertions fit to a word.
MAX_ERRORS_PER_WORD = 3.0
# Values of these say nothing about how good a model is, whatever metric they belong to:
# thresholds that were chosen, spreads, counts, what it took.
_NOT_A_SCORE = _names("""
    threshold thresholds thresh std stderr stddev sd var variance count counts support gap drop
    delta difference diff runtime tokens lr rejected bias pvalue penalty length scale weight rank
    time seconds latency improvement reduction increase decrease change
""")
# A score of which nothing else is known.
_SCORE = MetricFacts("real", True)
_SCORE_WORDS = frozenset({"score", "scores"})
# Words after a metric's name that tell how it was averaged, compared or cut off.
_QUALIFIERS = _names("""
    macro micro weighted avg average averaged mean median binary samples overall class label cosine
    dot euclidean manhattan max min at k small medium large all total value norm normalized chosen
    test val validation dev epoch step score scores percent pct percentage
""")
_NEGATED = frozenset({"neg", "negative"})
# Before a metric's name they turn its direction, in a way that a name alone does not tell.
_REVERSED = frozenset({"non", "no", "not", "anti", "inv", "inverse", "inverted", "minus", "false"})
_COMPLEMENT = re.compile(r"\s*(?:1|one)\s*-|(?:1|one)[_ ]minus[_ ]")
_IN_PERCENT = frozenset({"percent", "pct", "percentage"})
_P_VALUE = re.compile(r"(?:^|_)p_val(?:ue)?(?:_|$)")
_SEPARATORS = re.compile(r"[_/.\s:|@=()\[\]+-]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@cache
def metric_facts(metric: str) -> MetricFacts | None:
    """What a metric's name says of its direction and range; None for a name that is not known.

    The last part of the name decides (``accuracy_loss`` is a loss), once the words are gone that
    tell of an average or a rank (``f1_macro``, ``map_50``) or of nothing (``wer_score``); where it
    is unknown, the last known part does (``f1_positive``). A name that ends in ``%`` or ``percent``
    is in percent. None as well for what is no score: thresholds, counts, spreads, p-values; and
    for what turns a metric around (``1-wer``, ``non_toxicity``).
    """
    name = metric.strip().removeprefix("eval_").replace("%", "_percent")
    for text in (name.lower(), _CAMEL.sub("_", name).lower()):
        if _COMPLEMENT.match(text):
            return None
        words = [word for word in _SEPARATORS.split(text) if word]
        facts = _facts_of(words)
        if facts is not None:
            is_share = facts.kind == "rate" and not _IN_PERCENT.isdisjoint(words)
            return replace(facts, kind="percent") if is_share else facts
    return None


def _facts_of(words: list[str]) -> MetricFacts | None:
    """Facts of a name's words, None where they are unknown or tell of no score."""
    facts = _at_the_end(words)
    if facts is None and _NOT_A_SCORE.isdisjoint(words) and not _P_VALUE.search("_".join(words)):
        core = _without_qualifiers(words)
        facts = _at_the_end(core) or _anywhere(core)
        if facts is None and _REVERSED.isdisjoint(core) and not _SCORE_WORDS.isdisjoint(words):
            facts = _SCORE
    return facts


def _at_the_end(words: list[str]) -> MetricFacts | None:
    """Facts of the longest known suffix of a name's words."""
    for first in range(len(words)):
        facts = _known(words[first:])
        if facts is None:
            continue
        if first > 0 and words[first - 1] in _REVERSED:
            return None
        # scikit-learn's scorers and sentence-transformers negate errors, so that greater is better.
        negated = first > 0 and words[first - 1] in _NEGATED and not facts.greater_is_better
        return MetricFacts("real", True, loss_form="negative") if negated else facts
    return None


def _anywhere(words: list[str]) -> MetricFacts | None:
    """Facts of the last known run of words, the longest of those that end there."""
    for end in range(len(words) - 1, 0, -1):
        facts = _at_the_end(words[:end])
        if facts is not None:
            return facts
    return None


def _known(words: list[str]) -> MetricFacts | None:
    """Facts of exactly these words, also where a rank is written to the last one (``acc5``)."""
    name = "_".join(words)
    return _TABLE.get(name) or _TABLE.get(name.rstrip("0123456789"))


def _without_qualifiers(words: list[str]) -> list[str]:
    core = list(words)
    while core and (core[-1] in _QUALIFIERS or core[-1].isdigit()):
        core.pop()
    return core


def metric_kind(metric: str) -> MetricKind | None:
    """Range of a metric's values from its name; None when the name is not known."""
    facts = metric_facts(metric)
    return None if facts is None else facts.kind


def infer_greater_is_better(metric: str) -> bool | None:
    """Direction of a metric from its name; None when the name is not known."""
    facts = metric_facts(metric)
    return None if facts is None else facts.greater_is_better


def choose_metric(names: Iterable[str]) -> str | None:
    """The metric to judge a run by when nobody says: an accuracy, else another score, else a loss.

    Args:
        names: metrics that evaluations report.

    Returns:
        None when no direction of any is known.
    """

    def rank(metric: str) -> tuple[int, int, str]:
        if metric.endswith("accuracy"):
            kind = 0
        elif metric_kind(metric) != "loss":
            kind = 1
        else:
            kind = 2 if metric == "eval_loss" else 3
        return kind, len(metric), metric

    known_metrics = [metric for metric in names if metric_facts(metric) is not None]
    return min(known_metrics, key=rank, default=None)
