"""The linear head of few photos: a logistic regression whose strength cross-validation chooses.

Features of a frozen backbone outnumber the photos. Gradient descent with early stopping fits them as closely as a few
validation photos let it; the penalty on the kernel chosen by all training photos is better by 1 to 13 points
(EXPERIMENTS.md).
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from lenslet.dataset.blas_threads import suitable_threads
from lenslet.training.class_weights import ClassWeights
from lenslet.training.features import LabelledFeatures

# scikit-learn's C, of features whose root mean square is 1: a smaller one is a stronger penalty.
STRENGTHS = (0.0002, 0.0006, 0.002, 0.006, 0.02, 0.06, 0.2)
USUAL_STRENGTH = 0.006  # where a class has one photo, and there can be no folds
FOLDS = 5
ITERATIONS = 200
EPSILON = 1e-12  # of features that are all the same


def fit_logistic_head(
    train: LabelledFeatures, classes: int, rule: ClassWeights = "none"
) -> tuple[list[NDArray[np.float32]], float]:
    """Fit a linear head: kernel (channels, classes) and bias (classes,) of the logits, and the strength C.

    The strength has the lowest log loss over five folds, or as many as the smallest class has photos.
    """
    folds = min(FOLDS, int(np.bincount(train.targets).min()))
    if folds < 2:
        return fit_at(train, classes, USUAL_STRENGTH, rule), USUAL_STRENGTH
    fitted = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=StratifiedKFold(folds, shuffle=True, random_state=0),
        scoring="neg_log_loss",
        max_iter=ITERATIONS,
        class_weight=_class_weight(rule),
        use_legacy_attributes=False,
        l1_ratios=(0,),
    )
    return _fitted(fitted, train, classes), float(fitted.C_)


def fit_at(
    train: LabelledFeatures, classes: int, strength: float, rule: ClassWeights = "none"
) -> list[NDArray[np.float32]]:
    """`fit_logistic_head` of a given strength: kernel and bias."""
    fitted = LogisticRegression(C=strength, max_iter=ITERATIONS, class_weight=_class_weight(rule))
    return _fitted(fitted, train, classes)


def out_of_fold_logits(
    train: LabelledFeatures,
    folds: NDArray[np.int64],
    classes: int,
    strength: float,
    rule: ClassWeights = "none",
) -> NDArray[np.float32]:
    """Logits of each photo, shape (photos, classes), by a head of this strength fitted to the photos of other folds.

    `folds`: of each photo, shape (photos,); each class must be in two of them.
    """
    logits = np.empty((len(folds), classes), np.float32)
    for fold in np.unique(folds):
        is_held_out = folds == fold
        others = LabelledFeatures(train.features[~is_held_out], train.targets[~is_held_out])
        kernel, bias = fit_at(others, classes, strength, rule)
        logits[is_held_out] = train.features[is_held_out] @ kernel + bias
    return logits


def _class_weight(rule: ClassWeights) -> str | None:
    return None if rule == "none" else "balanced"


def _fitted(model: LogisticRegression, train: LabelledFeatures, classes: int) -> list[NDArray[np.float32]]:
    """Fit `model`; kernel and bias that take features as they are."""
    # The penalty leaves the intercept out, so that centred features give the same head, in fewer iterations. One scale
    # for all of them: their relative lengths tell which matter.
    centre = train.features.mean(axis=0)
    scale = max(float((train.features - centre).std()), EPSILON)
    with suitable_threads(train.features), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the weakest penalties, which are not chosen
        model.fit((train.features - centre) / scale, train.targets)
    kernel, bias = model.coef_.T / scale, model.intercept_
    if classes == 2:  # scikit-learn has one row then, the logit of the second class against the first
        kernel, bias = kernel * [[-0.5, 0.5]], bias * np.array([-0.5, 0.5])
    return [kernel.astype(np.float32), (bias - centre @ kernel).astype(np.float32)]
