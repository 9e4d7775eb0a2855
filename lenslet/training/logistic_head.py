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

from lenslet.config import HeadParams
from lenslet.training.class_weights import ClassWeights
from lenslet.training.features import LabelledFeatures

# scikit-learn's C, of features whose root mean square is 1: a smaller one is a stronger penalty.
STRENGTHS = (0.0002, 0.0006, 0.002, 0.006, 0.02, 0.06, 0.2)
USUAL_STRENGTH = 0.006  # where a class has one photo, and there can be no folds
FOLDS = 5
EPSILON = 1e-12  # of features that are all the same
# Photos × classes, with which the time of the folds grows. Measured up to 75 photos a class (EXPERIMENTS.md).
AT_MOST = 12_000


def fits(params: HeadParams, photos: int, classes: int) -> bool:
    """Whether `params` take the logistic regression for so many training photos and classes."""
    if params.hidden_units or params.solver == "gradient":
        return False
    return params.solver == "logistic" or photos * classes <= AT_MOST


def fit_logistic_head(
    train: LabelledFeatures, classes: int, rule: ClassWeights = "none"
) -> tuple[list[NDArray[np.float32]], float]:
    """Fit a linear head: kernel (channels, classes) and bias (classes,) of the logits, and the strength C.

    The strength has the lowest log loss over five folds, or as many as the smallest class has photos.
    """
    # The penalty leaves the intercept out, so that centred features give the same head, in fewer iterations. One scale
    # for all of them: their relative lengths tell which matter.
    centre = train.features.mean(axis=0)
    scale = max(float((train.features - centre).std()), EPSILON)
    values = (train.features - centre) / scale
    folds = min(FOLDS, int(np.bincount(train.targets).min()))
    weights = None if rule == "none" else "balanced"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the weakest penalties, which are not chosen
        if folds > 1:
            fitted = LogisticRegressionCV(
                Cs=STRENGTHS,
                cv=StratifiedKFold(folds, shuffle=True, random_state=0),
                scoring="neg_log_loss",
                max_iter=200,
                class_weight=weights,
                use_legacy_attributes=False,
                l1_ratios=(0,),
            ).fit(values, train.targets)
            strength = float(fitted.C_)
        else:
            strength = USUAL_STRENGTH
            fitted = LogisticRegression(C=strength, max_iter=200, class_weight=weights)
            fitted.fit(values, train.targets)
    kernel, bias = fitted.coef_.T / scale, fitted.intercept_
    if classes == 2:  # scikit-learn has one row then, the logit of the second class against the first
        kernel, bias = kernel * [[-0.5, 0.5]], bias * np.array([-0.5, 0.5])
    return [kernel.astype(np.float32), (bias - centre @ kernel).astype(np.float32)], strength
