"""Metrics by name: direction and range, whatever set, average or rank the name comes with."""

from __future__ import annotations

import pytest

from hf_ftrisk import Goal
from hf_ftrisk.goal.metric_names import infer_greater_is_better, metric_facts, metric_kind

NAMES = {
    # evaluate
    "eval_accuracy": (True, "rate"),
    "eval_f1": (True, "rate"),
    "eval_exact_match": (True, "rate"),
    "eval_HasAns_exact": (True, "rate"),
    "eval_NoAns_f1": (True, "rate"),
    "eval_combined_score": (True, "rate"),
    "eval_bleu": (True, "rate"),
    "eval_bleu-4": (True, "rate"),
    "eval_rouge1": (True, "rate"),
    "eval_rouge-1": (True, "rate"),
    "eval_rouge2_fmeasure": (True, "rate"),
    "eval_rougeLsum": (True, "rate"),
    "eval_rougeL_precision": (True, "rate"),
    "eval_sacrebleu": (True, "percent"),
    "eval_chrf++": (True, "percent"),
    "eval_meteor": (True, "rate"),
    "eval_bertscore_f1": (True, "rate"),
    "eval_mean_iou": (True, "rate"),
    "eval_wer": (False, "loss"),
    "eval_cer": (False, "loss"),
    "eval_perplexity": (False, "loss"),
    "eval_matthews_correlation": (True, "correlation"),
    "eval_pearsonr": (True, "correlation"),
    "eval_spearmanr": (True, "correlation"),
    "eval_pass@10": (True, "rate"),
    # scikit-learn
    "eval_f1_macro": (True, "rate"),
    "eval_f1_weighted": (True, "rate"),
    "eval_macro f1": (True, "rate"),
    "eval_macro avg f1-score": (True, "rate"),
    "eval_macroF1": (True, "rate"),
    "eval_precision_weighted": (True, "rate"),
    "eval_recall_samples": (True, "rate"),
    "eval_balanced_accuracy": (True, "rate"),
    "eval_jaccard": (True, "rate"),
    "eval_jaccard_micro": (True, "rate"),
    "eval_roc_auc": (True, "rate"),
    "eval_roc_auc_ovr_weighted": (True, "rate"),
    "eval_average_precision": (True, "rate"),
    "eval_cohen_kappa": (True, "correlation"),
    "eval_hamming_loss": (False, "rate"),
    "eval_brier_score_loss": (False, "rate"),
    "eval_log_loss": (False, "loss"),
    "eval_mean_absolute_error": (False, "loss"),
    "eval_root_mean_squared_error": (False, "loss"),
    "eval_max_error": (False, "loss"),
    "eval_neg_mean_squared_error": (True, "real"),
    "eval_r2": (True, "real"),
    "eval_r2_score": (True, "real"),
    "eval_explained_variance": (True, "real"),
    # a function's own name
    "eval_accuracy_score": (True, "rate"),
    "eval_precision_score_macro": (True, "rate"),
    "eval_roc_auc_score": (True, "rate"),
    "eval_cohen_kappa_score": (True, "correlation"),
    "eval_bleu_score": (True, "rate"),
    "eval_wer_score": (False, "loss"),
    "eval_toxicity_score": (False, "rate"),
    "eval_hallucination_score": (False, "rate"),
    "eval_fid_score": (False, "loss"),
    "eval_quality_score": (True, "real"),
    "eval_score/mean": (True, "real"),
    # seqeval
    "eval_overall_f1": (True, "rate"),
    "eval_LOC_f1": (True, "rate"),
    "eval_f1_class_0": (True, "rate"),
    "eval_f1_positive": (True, "rate"),
    # sentence-transformers
    "eval_sts-dev_spearman_cosine": (True, "correlation"),
    "eval_pearson_manhattan": (True, "correlation"),
    "eval_NanoBEIR_mean_cosine_ndcg@10": (True, "rate"),
    "eval_ndcg@10": (True, "rate"),
    "eval_accuracy@1": (True, "rate"),
    "eval_cosine_mrr@10": (True, "rate"),
    "eval_cosine_map@100": (True, "rate"),
    "eval_cosine_ap": (True, "rate"),
    "eval_cosine_mcc": (True, "correlation"),
    "eval_all-nli-dev_cosine_accuracy": (True, "rate"),
    "eval_negative_mse": (True, "real"),
    # TRL
    "eval_mean_token_accuracy": (True, "rate"),
    "eval_rewards/accuracies": (True, "rate"),
    "eval_rewards/margins": (True, "real"),
    "eval_rewards/chosen": (True, "real"),
    "eval_reward": (True, "real"),
    "eval_nll_loss": (False, "loss"),
    # torchmetrics, and object detection
    "eval_MulticlassF1Score": (True, "rate"),
    "eval_MeanAbsoluteError": (False, "loss"),
    "eval_map": (True, "rate"),
    "eval_map_50": (True, "rate"),
    "eval_map_75": (True, "rate"),
    "eval_mar_100": (True, "rate"),
    "eval_mar_small": (True, "rate"),
    "eval_AP50": (True, "rate"),
    "eval_psnr": (True, "real"),
    "eval_ssim": (True, "rate"),
    "eval_fid": (False, "loss"),
    "eval_dice_score": (True, "rate"),
    # shares of what went wrong
    "eval_false_acceptance_rate": (False, "rate"),
    "eval_frr": (False, "rate"),
    "eval_miss_rate": (False, "rate"),
    "eval_top5_error": (False, "rate"),
    # names that say percent
    "eval_accuracy(%)": (True, "percent"),
    "eval_Accuracy%": (True, "percent"),
    "eval_f1_percent": (True, "percent"),
    "eval_error_rate_pct": (False, "percent"),
    "eval_wer(%)": (False, "loss"),
    "eval_mean_absolute_percentage_error": (False, "loss"),
    # shorthands
    "eval_acc5": (True, "rate"),
    "eval_top_5_accuracy": (True, "rate"),
    "eval_hits@1": (True, "rate"),
    "eval_recall@5": (True, "rate"),
    "eval_mse": (False, "loss"),
    "eval_error_rate": (False, "rate"),
    "eval_accuracy_loss": (False, "loss"),
    "eval_val_loss_epoch": (False, "loss"),
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_direction_and_range_of_a_name_that_libraries_give(name):
    assert (infer_greater_is_better(name), metric_kind(name)) == NAMES[name]
    goal = Goal.parse(name)
    assert (goal.metric, goal.greater_is_better, goal.kind) == (name, *NAMES[name])


@pytest.mark.parametrize(
    "name",
    [
        "eval_cosine_accuracy_threshold",
        "eval_f1_threshold",
        "eval_best_exact_thresh",
        "eval_reward_std",
        "eval_accuracy_gap",
        "eval_rewards/rejected",
        "eval_num_tokens",
        "eval_runtime",
        "eval_entropy",
        # What is made of a metric, or stands beside one.
        "eval_spearman_pvalue",
        "eval_pearson_p_value",
        "eval_bleu_length_ratio",
        "eval_wer_reduction",
        "eval_accuracy_rank",
        # Turned around: which way, a name does not say.
        "eval_1-wer",
        "eval_one_minus_cer",
        "eval_non_toxicity",
        "eval_non_toxicity_score",
        "eval_inverse_perplexity",
        "eval_false_hits",
        "eval_zorp",
        "eval_",
    ],
)
def test_what_is_no_score_has_no_direction(name):
    assert metric_facts(name) is None
