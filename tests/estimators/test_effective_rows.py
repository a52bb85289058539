"""Weights that rest on few rows: the warning, the remedy, and what the benchmarks claim of it."""

import importlib.util
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from skweight import (
    EffectiveSampleSizeWarning,
    WeightedTorchClassifier,
    WeightedTorchRegressor,
    clip_weights,
)

ROOT = Path(__file__).parents[2]
MESSAGE = "effective sample size is below 10 %"
QUICK = {"max_epochs": 2, "random_state": 0}


def load_benchmark(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rare():
    """2,000 rows, 1 % of them positive: balanced weights have an effective share of 4 %."""
    X = np.random.default_rng(0).normal(size=(2000, 4))
    return X, (np.arange(2000) < 20).astype(int)


def warnings_of(estimator, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(*args)
    return [str(w.message) for w in caught]


def test_weights_in_the_loss_that_rest_on_few_rows_warn_once_and_name_the_remedies(rare):
    messages = warnings_of(WeightedTorchClassifier(class_weight="balanced", **QUICK), *rare)
    assert len(messages) == 1 and MESSAGE in messages[0]
    for remedy in ('weighting="sampling"', "sample_weight_power", "clip_weights"):
        assert remedy in messages[0]


THREE_FITS = """
import numpy as np
from skweight import WeightedTorchClassifier
X = np.random.default_rng(0).normal(size=(2000, 2))
y = np.arange(2000) % 100 == 0
model = WeightedTorchClassifier(class_weight="balanced", max_epochs=1, random_state=0)
for power in (1, 1.1, 1.2):
    model.set_params(class_weight_power=power)
    model.fit(X, y)  # the line that is named
"""


def test_the_warning_comes_once_in_a_process_however_many_fits_deserve_it(tmp_path):
    script = tmp_path / "three_fits.py"
    script.write_text(THREE_FITS)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stderr.count("EffectiveSampleSizeWarning") == 1
    line = 1 + THREE_FITS.splitlines().index("    model.fit(X, y)  # the line that is named")
    assert f"{script}:{line}: " in done.stderr


def test_the_warning_has_a_category_to_filter_it_by(rare):
    model = WeightedTorchClassifier(class_weight="balanced", **QUICK)
    with pytest.warns(EffectiveSampleSizeWarning, match=MESSAGE) as caught:
        model.fit(*rare)
    assert caught[0].filename == __file__


def test_remedies_and_even_weights_do_not_warn(rare):
    X, y = rare
    for params in ({"weighting": "sampling"}, {"class_weight_power": 0.5}, {"class_weight": None}):
        params = {"class_weight": "balanced"} | params
        assert not warnings_of(WeightedTorchClassifier(**QUICK, **params), X, y)


def test_heavy_rows_of_a_regression_warn_until_they_are_clipped(rare):
    X, _ = rare
    weight = np.where(np.arange(2000) < 10, 1000.0, 1.0)
    model = WeightedTorchRegressor(**QUICK)
    assert MESSAGE in warnings_of(model, X, X[:, 0], weight)[0]
    assert not warnings_of(model, X, X[:, 0], clip_weights(weight, 3))
    assert not warnings_of(model, X, X[:, 0])


def test_sampling_has_a_fifth_of_the_noise_at_one_percent_positives():
    """The table of ``benchmarks/gradient_noise.py``, with fewer passes."""
    noise = load_benchmark("gradient_noise")
    noise.N_PASSES = 15
    rows = noise.balanced_rows(0.01)
    in_loss = noise.batch_gradients(rows, sampling=False)
    by_batch = noise.batch_gradients(rows, sampling=False, divide_by_batch=True)
    sampled = noise.batch_gradients(rows, sampling=True)
    assert in_loss.std() == pytest.approx(0.32, abs=0.02)
    assert sampled.std() == pytest.approx(0.063, abs=0.004)
    assert abs(in_loss.mean()) < 0.03 and abs(sampled.mean()) < 0.006
    assert by_batch.mean() > 0.15


def test_the_table_of_gradient_noise_in_the_documentation_is_what_the_benchmark_prints(capsys):
    noise = load_benchmark("gradient_noise")
    noise.main()
    printed = capsys.readouterr().out
    table = (ROOT / "docs" / "weights.md").read_text()
    for line, share in re.findall(r"^\| (\d+) % \|(?:.*\|){3} (0\.\d{3}) \|$", table, re.MULTILINE):
        row = next(r for r in printed.splitlines() if r.strip().startswith(f"{line}%"))
        assert row.endswith(share)
        stated = re.search(rf"^\| {line} % \|(.*)$", table, re.MULTILINE)[1]
        spreads = re.findall(r"/ (0\.\d{3})", stated)
        assert spreads == re.findall(r"/ (0\.\d{3})", row) and len(spreads) == 3


def test_learned_input_weights_of_the_default_network_beat_it_plainly():
    """Two rows of the table of ``benchmarks/feature_weights.py``, one seed."""
    features = load_benchmark("feature_weights")
    plain, _ = features.fit(0, module=None, **features.PLAIN)
    weighted, importance = features.fit(
        0, module=None, module__feature_weights=1.0, **features.PLAIN, **features.ON_DEFAULT
    )
    assert weighted > plain + 0.2 and weighted > 0.85
    assert importance[:5].min() > 2 * importance[5:].mean()


def test_copies_of_rows_are_no_weights_that_rest_on_few_rows(rare):
    """1,000 rows of two kinds, 5 of them of the other class: merged, four rows are left."""
    X = np.arange(1000).reshape(-1, 1) % 2
    y = (np.arange(1000) < 5).astype(float)
    assert not warnings_of(WeightedTorchRegressor(**QUICK), X, y, np.ones(1000))


def test_a_power_that_would_flatten_copies_and_not_only_weights_warns(rare):
    X, y = rare
    weight = np.random.default_rng(0).exponential(size=2000)
    model = WeightedTorchClassifier(sample_weight_power=0.5, **QUICK)
    assert not warnings_of(model, X, y, weight)
    (message,) = warnings_of(model, np.round(X[:, :1]), y, weight)
    assert "sample_weight_power=0.5" in message and "9" in re.search(r"(\d+)% of", message)[1]
    assert "raise them to that power before you pass them" in message
    assert not warnings_of(model.set_params(sample_weight_power=1), np.round(X[:, :1]), y, weight)
