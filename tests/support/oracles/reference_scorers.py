"""Slow oracles of what follows a selection: probes, cross-fitting by video, the locator's grid, the bootstrap.

scikit-learn on all rows, loops over samples, pairs and frames, exact fractions where values can tie.
"""

import math
from fractions import Fraction

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.support.oracles.reference_evaluation import smooth_by_weights


def logistic(features, labels, *, C=1.0, tolerance=1e-4, class_weight=None):
    """The papers' logistic regression: scikit-learn's pipeline, fitted on all rows."""
    model = LogisticRegression(C=C, tol=tolerance, max_iter=100_000, class_weight=class_weight)
    return make_pipeline(StandardScaler(), model).fit(np.asarray(features, dtype=np.float64), labels)


def logistic_minimum(features, labels, *, C=1.0):
    """(weights, intercept) at the minimum of |w|^2 / 2 + C sum of log losses on features of mean 0 and deviation 1.

    scikit-learn stops near it; Newton's steps in the primal go on until they move nothing.
    """
    model = logistic(features, labels, C=C, tolerance=1e-8)
    rows = model[0].transform(np.asarray(features, dtype=np.float64))
    rows, targets = np.column_stack([rows, np.ones(len(rows))]), np.asarray(labels, dtype=np.float64)
    found, penalty = np.append(model[1].coef_, model[1].intercept_), np.append(np.ones(rows.shape[1] - 1), 0.0)
    for _ in range(6):
        shares = expit(rows @ found)
        gradient = penalty * found + C * rows.T @ (shares - targets)
        hessian = np.diag(penalty) + C * (rows.T * (shares * (1 - shares))) @ rows
        found = found - np.linalg.solve(hessian, gradient)
    return found[:-1], found[-1]


def code_logistic(features, labels, *, C=1.0):
    """The convention "headhunt-code": liblinear on features as they are, its penalised intercept included."""
    model = LogisticRegression(C=C, solver="liblinear", max_iter=2000)
    return model.fit(np.asarray(features, dtype=np.float64), labels)


def linear_svm(features, labels, *, C=1.0, tolerance=1e-4, class_weight=None):
    """scikit-learn's pipeline with a linear support vector machine."""
    model = LinearSVC(C=C, dual=False, tol=tolerance, max_iter=100_000, class_weight=class_weight)
    return make_pipeline(StandardScaler(), model).fit(np.asarray(features, dtype=np.float64), labels)


def svm_objective(features, labels, coef, intercept, *, C=1.0):
    """Half the squared norm, the intercept's included, plus C times the squared hinges of standardised samples."""
    features = StandardScaler().fit_transform(np.asarray(features, dtype=np.float64))
    total = (math.fsum(float(w) ** 2 for w in coef) + intercept**2) / 2
    for row, label in zip(features, labels, strict=True):
        margin = (1 if label else -1) * (math.fsum(row * coef) + intercept)
        total += C * max(0.0, 1 - margin) ** 2
    return total


def perceptron(features, mean, scale, weights, biases):
    """Forward pass, sample by sample and unit by unit: ReLU between layers, the logistic function at the end.

    ``weights`` are (inputs, outputs) per layer, ``biases`` (outputs,).
    """
    result = []
    for row in np.asarray(features, dtype=np.float64):
        values = [(x - m) / s for x, m, s in zip(row, mean, scale, strict=True)]
        for level, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            sums = [
                math.fsum(v * w for v, w in zip(values, column, strict=True)) + b
                for column, b in zip(np.asarray(weight).T.tolist(), bias, strict=True)
            ]
            values = sums if level == len(weights) - 1 else [max(0.0, s) for s in sums]
        (logit,) = values
        result.append(1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit)))
    return np.array(result)


def distance_scores(features, training, labels, standardised=True):
    """d_n^2 / (d_n^2 + d_a^2), d the distances to the means of the training classes."""
    training, features = np.asarray(training, dtype=np.float64), np.asarray(features, dtype=np.float64)
    if standardised:
        scaler = StandardScaler().fit(training)
        training, features = scaler.transform(training), scaler.transform(features)
    labels = np.asarray(labels).astype(int)
    normal, anomalous = training[labels == 0].mean(axis=0), training[labels == 1].mean(axis=0)
    squared = [(math.dist(row, normal) ** 2, math.dist(row, anomalous) ** 2) for row in features]
    return np.array([n / (n + a) for n, a in squared])


def ridge_scores(training, labels, held_out, *, C=1.0):
    """Scores of held-out rows: standardised on the training rows, ridge on +-1 labels, free intercept."""
    scaler = StandardScaler().fit(training)
    model = Ridge(alpha=1 / C, solver="cholesky").fit(scaler.transform(training), np.where(labels, 1.0, -1.0))
    return model.predict(scaler.transform(held_out))


def concordant_pairs(scores, labels, rounding=1e-12):
    """(pairs won, pairs) of an anomalous and a normal sample, one by one; a tie, up to rounding, is half a win."""
    won = pairs = 0.0
    for p in scores[labels == 1]:
        for n in scores[labels == 0]:
            tie = abs(p - n) <= rounding * max(1.0, abs(p), abs(n))
            won += 0.5 if tie else float(p > n)
            pairs += 1
    return won, pairs


def cross_fitted_auc(features, labels, folds, *, C=1.0, scores_of=ridge_scores):
    """AUC of one unit (n, d): every fold is scored by what was fitted on the others, pairs are counted within folds."""
    features, labels, folds = np.asarray(features, dtype=np.float64), np.asarray(labels).astype(int), np.asarray(folds)
    won = pairs = 0.0
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        scores = scores_of(features[~out], labels[~out], features[out], C=C)
        counts = concordant_pairs(scores, labels[out])
        won, pairs = won + counts[0], pairs + counts[1]
    return won / pairs if pairs else math.nan


def smoothed(scores, groups, sigma):
    """scipy's filter of every video alone, loops where a clip is unknown; groups are contiguous."""
    result, groups = np.array(scores, dtype=np.float64), np.asarray(groups)
    for video in dict.fromkeys(groups.tolist()):
        mine = groups == video
        if sigma > 0 and np.isnan(result[mine]).any():
            result[mine] = smooth_by_weights(result[mine], sigma)
        elif sigma > 0:
            result[mine] = gaussian_filter1d(result[mine], sigma, mode="reflect", truncate=4.0)
    return result


def frame_counts_above(scores, positives, negatives, threshold):
    """(true positives, false positives, false negatives), frame by frame."""
    counts = [0, 0, 0]
    for score, positive, negative in zip(scores, positives, negatives, strict=True):
        for truth in [True] * int(positive) + [False] * int(negative):
            found = score > threshold
            counts[0] += found and truth
            counts[1] += found and not truth
            counts[2] += truth and not found
    return counts


def exact_f1(true_positives, false_positives, false_negatives):
    """F1 as a fraction; 0 where nothing is true and nothing found."""
    total = 2 * true_positives + false_positives + false_negatives
    return Fraction(2 * true_positives, total) if total else Fraction(0)


def best_cell(scores, positives, negatives, groups, sigmas, thresholds, chosen=None):
    """Exact F1 of every cell on the frames of the chosen clips, and the first best (sigma, threshold)."""
    chosen = np.ones(len(groups), dtype=bool) if chosen is None else chosen
    cells, best = {}, None
    for sigma in sigmas:
        values = smoothed(scores, groups, sigma)
        for threshold in thresholds:
            counts = frame_counts_above(values[chosen], positives[chosen], negatives[chosen], threshold)
            cells[sigma, threshold] = exact_f1(*counts)
            if best is None or cells[sigma, threshold] > cells[best]:
                best = sigma, threshold
    return cells, best


def cross_fitted_locators(scores, positives, negatives, groups, folds, sigmas, thresholds):
    """Fold to the best cell on the clips of all other folds, and the frame counts that those cells give together."""
    folds, total, locators = np.asarray(folds), [0, 0, 0], {}
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        _, (sigma, threshold) = best_cell(scores, positives, negatives, groups, sigmas, thresholds, ~out)
        locators[fold] = sigma, threshold
        values = smoothed(scores, groups, sigma)[out]
        counts = frame_counts_above(values, positives[out], negatives[out], threshold)
        total = [a + b for a, b in zip(total, counts, strict=True)]
    return locators, exact_f1(*total)


def bootstrapped(scores, positives, negatives, groups, *, n_resamples, seed):
    """(n_resamples, 2) AUC and step average precision: scikit-learn, units weighted by how often a video was drawn."""
    generator, codes = np.random.default_rng(seed), sorted(set(np.asarray(groups).tolist()))
    truth, doubled = np.repeat([1, 0], len(scores)), np.concatenate([scores, scores])
    result = np.full((n_resamples, 2), math.nan)
    for row in result:
        drawn = [codes[k] for k in generator.integers(len(codes), size=len(codes))]
        times = np.array([drawn.count(group) for group in np.asarray(groups).tolist()])
        weights = np.concatenate([times * positives, times * negatives])
        known = weights > 0
        if len(set(truth[known].tolist())) == 2:
            sample = {"y_true": truth[known], "y_score": doubled[known], "sample_weight": weights[known]}
            row[:] = roc_auc_score(**sample), average_precision_score(**sample)
    return result
