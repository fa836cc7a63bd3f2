"""scikit-learn's own checks of estimators, none of them excused."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from schuss import NetworkClassifier, NetworkRegressor, SGDClassifier, SGDRegressor

SMALL: dict[str, Any] = {"hidden_layer_sizes": 8, "max_iter": 60, "runs": 2}
ESTIMATORS = [
    SGDRegressor(),
    SGDClassifier(loss="log_loss"),
    SGDClassifier(),
    NetworkRegressor(**SMALL),
    NetworkClassifier(**SMALL),
]
CHECKS = [
    pytest.param(estimator, check, id=f"{estimator}-{number}-{check.func.__name__}")
    for estimator in ESTIMATORS
    for number, (_, check) in enumerate(estimator_checks_generator(estimator))
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_no_tag_excuses_anything(estimator: Any) -> None:
    tags = estimator.__sklearn_tags__()
    assert not tags.non_deterministic
    assert not tags.no_validation
    assert not (tags.classifier_tags or tags.regressor_tags).poor_score
