"""How well frozen features (n_rows, n_dims) already separate the labels (n_rows,). No torch."""

from __future__ import annotations

import numpy as np

_MAX_ITERATIONS = 100
_TOLERANCE = 1e-6
_PROBE_ITERATIONS = 300
_PROBE_STRENGTH = 0.1  # C: with more dimensions than rows the unregularized fit separates anything
# Operations a second that any processor does.
_SLOW = 2e9


def load_libraries() -> None:
    """Import what this module needs, half a second the first time: before work is timed."""
    import sklearn.covariance
    import sklearn.linear_model
    import sklearn.preprocessing  # noqa: F401


def svd_seconds(features: np.ndarray) -> float:
    """Time at most that LogME and H-score of features (n_rows, n_dims) take, seconds."""
    small, large = sorted(features.shape)
    return float(2 * 8.0 * small * small * large / _SLOW)


def fit_seconds(features: np.ndarray, n_classes: int) -> float:
    """Time at most that the linear probe on features (n_rows, n_dims) takes, seconds."""
    n_rows, n_dims = features.shape
    work = 4.0 * _PROBE_ITERATIONS * n_rows * min(n_rows, n_dims) * n_classes
    return float(svd_seconds(features) + work / _SLOW)


def log_me(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME: log evidence per row of a Bayesian linear model on the features, maximized.

    For classes, the mean over classes of the evidence of the one-against-rest 0/1 target; for
    real targets, of the targets. In nats per row, any real number, higher is better (You et al.
    2021, equation 2; the fixed point is iterated in the basis of the singular vectors).

    Args:
        features: (n_rows, n_dims).
        labels: (n_rows,) integers for classes, floats for real targets.

    Raises:
        ValueError: shapes that do not fit, or fewer than two rows.
    """
    x = _checked(features, labels)
    y = np.asarray(labels)
    if np.issubdtype(y.dtype, np.integer):
        targets = [(y == label).astype(np.float64) for label in np.unique(y)]
    else:
        targets = [y.astype(np.float64)]
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return float(np.mean([_evidence(u, s, x.shape[1], target) for target in targets]))


def _evidence(u: np.ndarray, s: np.ndarray, n_dims: int, y: np.ndarray) -> float:
    """Maximal log evidence per row of y (n,) given features u s v^T; u (n, k), s (k,)."""
    n = y.size
    z2 = (u.T @ y) ** 2
    outside = max(float(y @ y - z2.sum()), 0.0)
    eigen = s**2
    tiny = 1e-12 * max(float(y @ y), 1e-12)
    alpha = beta = 1.0
    ratio = 1.0
    for _ in range(_MAX_ITERATIONS):
        shrink = ratio + eigen  # (alpha I + beta X'X) / beta
        gamma = float((eigen / shrink).sum())
        m2 = float((eigen * z2 / shrink**2).sum())
        rest = float((ratio**2 * z2 / shrink**2).sum()) + outside
        alpha = gamma / max(m2, tiny)
        beta = (n - gamma) / max(rest, tiny)
        previous, ratio = ratio, alpha / beta
        if abs(ratio - previous) <= _TOLERANCE * previous:
            break
    shrink = ratio + eigen
    m2 = float((eigen * z2 / shrink**2).sum())
    rest = float((ratio**2 * z2 / shrink**2).sum()) + outside
    log_det = float(np.log(beta * shrink).sum()) + (n_dims - s.size) * np.log(alpha)
    evidence = (
        n * np.log(beta)
        + n_dims * np.log(alpha)
        - n * np.log(2.0 * np.pi)
        - beta * rest
        - alpha * m2
        - log_det
    )
    return float(evidence / (2.0 * n))


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score: variance of the class means against the variance of the features.

    tr(cov(f)^-1 cov(E[f|y])) with the Ledoit-Wolf shrinkage estimate of cov(f), since there are
    often more dimensions than rows. In [0, n_classes - 1], higher is better (Bao et al. 2019;
    shrinkage: Ibrahim et al. 2022).

    Args:
        features: (n_rows, n_dims).
        labels: (n_rows,) class indices.

    Raises:
        ValueError: shapes that do not fit, or fewer than two rows.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    x = _checked(features, labels)
    x = x - x.mean(axis=0)
    n_rows, n_dims = x.shape
    shrinkage = float(ledoit_wolf_shrinkage(x, assume_centered=True))
    means = np.zeros_like(x)
    for label in np.unique(labels):
        means[labels == label] = x[labels == label].mean(axis=0)
    # Class means lie in the row space of x: in the basis of its right singular vectors the
    # covariance is diagonal, and no matrix of n_dims by n_dims is ever built.
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    variances = (1.0 - shrinkage) * s**2 / n_rows + shrinkage * (x**2).sum() / (n_rows * n_dims)
    between = ((means @ vt.T) ** 2).sum(axis=0) / n_rows
    varies = variances > 1e-12 * max(float(variances.max()), 1e-300)
    return float((1.0 - shrinkage) * (between[varies] / variances[varies]).sum())


def linear_probe_accuracy(
    features: np.ndarray, labels: np.ndarray, eval_features: np.ndarray, eval_labels: np.ndarray
) -> float:
    """Accuracy in [0, 1], on evaluation rows, of logistic regression on standardized features.

    Alain and Bengio 2017. The regression is fitted on the training rows alone.

    Args:
        features: (n_rows, n_dims) of training rows.
        labels: (n_rows,) class indices.
        eval_features: (n_eval, n_dims).
        eval_labels: (n_eval,).

    Raises:
        ValueError: shapes that do not fit, or fewer than two rows.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, held_out = _checked(features, labels), np.asarray(eval_features, dtype=np.float64)
    if np.unique(labels).size == 1:
        return float((np.asarray(eval_labels) == labels[0]).mean())
    scale = StandardScaler().fit(x)
    x, held_out = scale.transform(x), scale.transform(held_out)
    if x.shape[1] > x.shape[0]:
        # The penalty does not notice a rotation, and outside the rows' space there is no evidence.
        basis = np.linalg.svd(x, full_matrices=False)[2].T
        x, held_out = x @ basis, held_out @ basis
    probe = LogisticRegression(C=_PROBE_STRENGTH, max_iter=_PROBE_ITERATIONS)
    probe.fit(x, labels)
    return float(probe.score(held_out, eval_labels))


def _checked(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or np.shape(labels) != (x.shape[0],) or x.shape[0] < 2:
        raise ValueError(
            f"features {x.shape} and labels {np.shape(labels)} must be (n_rows, n_dims) and "
            "(n_rows,) with at least two rows"
        )
    return x
