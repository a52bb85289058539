"""``to_module``: a module that predicts what the estimator predicts, from raw columns."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from exported_cases import NAMES, QUICK, fitted, table, targets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from torch import nn

from skweight import WeightedTorchClassifier, WeightedTorchRegressor

X = table()


def outputs(model, X, offset=None):
    """What the module of an estimator makes of X as the user has it."""
    given = [model.encode_columns(X)] + ([] if offset is None else [offset])
    return model.to_module()(*map(torch.from_numpy, given)).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_the_module_predicts_what_the_estimator_predicts(name):
    model, expected, offset = fitted(name, X)
    found = outputs(model, X, offset)
    assert found.dtype == np.float64 and found.shape == expected.shape
    assert np.std(expected) > 0
    assert_array_equal(found, expected)  # 192 rows are padded by neither
    few = outputs(model, X[:5], None if offset is None else offset[:5])
    assert_allclose(few, expected[:5], rtol=2e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_give_no_predictions(name):
    model, expected, offset = fitted(name, X)
    module = model.to_module()
    given = [model.encode_columns(X)] + ([] if offset is None else [offset])
    none = module(*(torch.from_numpy(values[:0]) for values in given))
    assert none.dtype == torch.float64 and none.shape == (0, *expected.shape[1:])


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(1, 1), nn.Flatten(0)), nn.Linear(1, 1)])
def test_no_rows_give_no_predictions_of_a_module_of_ones_own(module):
    x = np.linspace(-1, 1, 64)[:, None]
    regressor = WeightedTorchRegressor(module, **QUICK).fit(x, x[:, 0])
    assert regressor.to_module()(torch.zeros(0, 1)).shape == (0,)
    classifier = WeightedTorchClassifier(module, **QUICK).fit(x, x[:, 0] > 0)
    assert classifier.to_module()(torch.zeros(0, 1)).shape == (0, 2)


def test_codes_of_labels_are_public():
    model, *_ = fitted("two amounts", X)
    codes = model.category_codes_
    assert [*codes] == ["colour", "street"] and {*codes["colour"]} == {"red", "green", None}
    by_hand = X.copy()
    for name, of_column in codes.items():
        labels = [None if label != label else label for label in X[name]]
        by_hand[name] = [of_column.get(label, 0) for label in labels]
    assert_array_equal(model.encode_columns(X), by_hand.to_numpy(dtype=np.float64))
    new = X.assign(colour="blue")
    assert (model.encode_columns(new)[:, 1] == 0).all()
    assert_allclose(outputs(model, new), model.predict(new), rtol=1e-6)
    with pytest.raises(ValueError, match="feature names"):
        model.encode_columns(X.rename(columns={"number": "other"}))


def test_arrays_without_categories_are_taken_as_they_are(binary):
    data, y, _ = binary
    model = WeightedTorchClassifier(**QUICK).fit(data, y)
    assert model.category_codes_ == {}
    for given in (data, data.tolist(), torch.from_numpy(data)):
        assert_array_equal(model.encode_columns(given), data)
    module = model.to_module()
    assert_allclose(module(torch.from_numpy(data)), model.predict_proba(data), atol=1e-6)
    assert_allclose(module(torch.from_numpy(data).float()), model.predict_proba(data), atol=1e-5)


def test_times_keep_the_digits_that_float32_lacks():
    seconds = 1.7e9 + np.arange(400.0)[:, None]
    model = WeightedTorchRegressor(**QUICK | {"max_epochs": 30}).fit(seconds, np.arange(400.0))
    found = outputs(model, seconds)
    assert len(np.unique(found)) > 300
    assert_allclose(found, model.predict(seconds), rtol=1e-6)


def test_nothing_is_shared_with_the_estimator():
    model, expected, _ = fitted("three classes, adjusted, corrected", X)
    module = model.to_module()
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.zero_()
    assert_array_equal(model.predict_proba(X), expected)
    assert all(parameter.requires_grad for parameter in model.module_.parameters())


def test_members_are_averaged():
    model, *_ = fitted("squared error", X)
    assert len(model.nets_) == 2
    assert_allclose(outputs(model, X), model.predict_members(X).mean(axis=0), rtol=1e-12)


def test_correct_prior_may_be_changed_after_the_fit():
    model, _, _ = fitted("focal", X)
    model.class_weight_ = model.class_weight_ * 1
    before = outputs(model, X)
    weighted, _, _ = fitted("labels, feature weights", X)
    corrected = outputs(weighted, X)
    weighted.set_params(correct_prior=False)
    as_fitted = outputs(weighted, X)
    assert np.abs(as_fitted - corrected).max() > 0.01
    assert_array_equal(as_fitted, weighted.predict_proba(X))
    assert_array_equal(before, model.predict_proba(X))


class Tokens(nn.Module):
    """Averages embeddings of whole numbers."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(10, 4), nn.Linear(4, n_outputs)

    def forward(self, X):
        return self.linear(self.embedding(X).mean(dim=1))


class TwoInputs(nn.Module):
    """Adds what it makes of a table and of tokens."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.table = nn.Linear(n_features["table"], n_outputs)
        self.tokens = Tokens(3, n_outputs)

    def forward(self, table, tokens):
        return self.table(table) + self.tokens(tokens)


def test_modules_of_ones_own_take_images_tokens_and_dicts():
    rng, y = np.random.default_rng(0), targets(64)["classes"]
    images = rng.normal(size=(64, 1, 4, 4)).astype(np.float32)
    tokens = rng.integers(0, 10, (64, 3))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    both = {"table": rng.normal(size=(64, 2)), "tokens": tokens}
    for module, data in ((flat, images), (Tokens, tokens), (TwoInputs, both)):
        model = WeightedTorchClassifier(module, **QUICK | {"early_stopping": False}).fit(data, y)
        given = model.encode_columns(data)
        if isinstance(given, dict):
            given = {name: torch.from_numpy(part) for name, part in given.items()}
        else:
            given = torch.from_numpy(given)
        assert_allclose(model.to_module()(given), model.predict_proba(data), atol=1e-6)


@pytest.mark.parametrize("name", ["two classes, corrected, matched", "poisson, offset"])
def test_an_exported_program_needs_no_skweight(name, tmp_path):
    model, expected, offset = fitted(name, X)
    given = [torch.from_numpy(model.encode_columns(X))]
    given += [] if offset is None else [torch.from_numpy(offset)]
    rows = torch.export.Dim("rows", min=1)
    program = torch.export.export(
        model.to_module(), tuple(given), dynamic_shapes=tuple({0: rows} for _ in given)
    )
    torch.export.save(program, tmp_path / "model.pt2")
    torch.save((given, torch.from_numpy(expected)), tmp_path / "data.pt")
    script = (
        "import sys, torch\n"
        "sys.modules['skweight'] = None\n"
        "module = torch.export.load('model.pt2').module()\n"
        "given, expected = torch.load('data.pt')\n"
        "for n in (1, 2, 7, 192):\n"
        "    found = module(*(part[:n] for part in given))\n"
        "    assert torch.allclose(found, expected[:n], rtol=2e-6, atol=1e-6), n\n"
        "print(found.std().item() > 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.stdout.strip() == "True", run.stderr


def test_what_is_missing_is_named(binary):
    data, y, _ = binary
    for method in ("to_module", "encode_columns", "to_onnx"):
        with pytest.raises(NotFittedError):
            getattr(WeightedTorchClassifier(), method)(*[data] * (method != "to_module"))
    with pytest.raises(NotFittedError):
        WeightedTorchRegressor().category_codes_
    model, *_ = fitted("offset", X)
    with pytest.raises(ValueError, match="offset must be a tensor, as in fit, got NoneType"):
        model.to_module()(torch.from_numpy(model.encode_columns(X)))
    plain = WeightedTorchClassifier(**QUICK).fit(data, y)
    with pytest.raises(ValueError, match="offset must be None, as in fit, got Tensor"):
        plain.to_module()(torch.from_numpy(data), torch.from_numpy(data[:, 0]))
