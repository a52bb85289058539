"""What a fit predicts, for tables of any kind: finite numbers, and probabilities that add up."""

import numpy as np
from drawn_fits import Case, cases, fit_quietly
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

POSITIVE = ("poisson", "gamma", "tweedie")


@given(cases())
def test_predictions_are_finite_and_mean_what_they_say(case: Case):
    model = case.fit(case.weight)
    for name, values in case.predictions(model).items():
        if name != "predict" or not case.of_classes:
            assert np.isfinite(values).all(), name
        assert len(values) == case.n_rows
    for net in model.nets_:
        assert np.isfinite(net.history[:, "train_loss"]).all()
    (assert_probabilities if case.of_classes else assert_numbers)(case, model)


def assert_probabilities(case, model):
    """They lie between 0 and 1, sum to 1 unless labels are separate, and lead to the labels."""
    probability = model.predict_proba(case.X, offset=case.offsets)
    label = model.predict(case.X, offset=case.offsets)
    assert (probability > 0).all() and (probability <= 1).all()
    if case.y.ndim == 2:
        assert_array_equal(label, probability > 0.5)
        return
    assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    assert_array_equal(model.classes_, np.unique(case.y))
    likely = np.take_along_axis(
        probability, np.searchsorted(model.classes_, label)[:, None], axis=1
    )
    assert_array_equal(likely[:, 0], probability.max(axis=1))
    assert label.dtype == model.classes_.dtype


def assert_numbers(case, model):
    """Quantiles do not cross, deviations and means of positive targets are positive."""
    predicted = model.predict(case.X, offset=case.offsets)
    quantile = case.params.get("criterion__quantile")
    if isinstance(quantile, list):
        in_order = predicted[..., np.argsort(quantile)]
        assert (np.diff(in_order, axis=-1) >= 0).all()
    if case.params.get("criterion") == "gaussian_nll":
        mean, deviation = model.predict(case.X, offset=case.offsets, return_std=True)
        assert_array_equal(mean, predicted)
        assert (deviation > 0).all() and np.isfinite(deviation).all()
    if case.params.get("criterion") in POSITIVE:
        assert (predicted > 0).all()


@given(cases(containers=["array"], of_classes=True))
def test_classes_may_have_other_names_in_the_same_order(case: Case):
    if case.y.ndim == 2:
        return
    model = case.fit(case.weight)
    names = np.array([f"class {i}" for i in range(len(model.classes_))])
    renamed = names[np.searchsorted(model.classes_, case.y)]
    other = fit_quietly(case.estimator(), case.X, renamed, case.weight, case.offsets)
    assert_array_equal(other.classes_, names)
    ours, theirs = (case.predictions(m) for m in (model, other))
    assert_array_equal(theirs["predict_proba"], ours["predict_proba"])
    assert_array_equal(theirs["predict"], names[np.searchsorted(model.classes_, ours["predict"])])
