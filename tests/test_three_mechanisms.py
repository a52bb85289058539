"""The example on the three kinds of weights: equal to loops by hand, and worth running."""

import numpy as np
import pytest
import torch
from helpers import load_script


@pytest.fixture(scope="module")
def example():
    return load_script("examples/three_mechanisms.py")


@pytest.fixture(scope="module")
def results(example):
    with torch.random.fork_rng():  # the example seeds the global generator
        return {
            "sample_weights": example.sample_weights(),
            "class_weights": example.class_weights(),
            "batch_normaliser": example.batch_normaliser(),
            "feature_weights": example.feature_weights(),
        }


@pytest.fixture(params=["sample_weights", "class_weights", "feature_weights"])
def losses(results, request):
    return results[request.param].losses


def test_losses_equal_those_of_the_loop_by_hand_in_every_epoch(example, losses):
    assert len(losses.ours) == len(losses.by_hand) == example.EPOCHS
    np.testing.assert_allclose(losses.ours, losses.by_hand, rtol=0, atol=1e-6)
    assert losses.gap <= 1e-6


def test_losses_fall_in_every_epoch(losses):
    assert np.all(np.diff(losses.ours) < 0)
    assert losses.ours[-1] < 0.6 * losses.ours[0]


def test_weights_change_the_losses(losses):
    assert np.abs(losses.ours - losses.unweighted).max() > 1e-3
    assert np.abs(losses.by_hand - losses.unweighted).max() > 1e-3


def test_the_callers_module_is_unchanged_after_the_fit(losses):
    assert losses.start_unchanged


def test_the_check_for_an_unchanged_module_sees_a_change(example):
    module = torch.nn.Linear(2, 1)
    trained, _ = example.train_by_hand(
        module, torch.ones(3, 2), torch.ones(3, 1), torch.nn.MSELoss(), epochs=1
    )
    assert example.same_state(module, module)
    assert not example.same_state(module, trained)


def test_rows_of_small_weight_fit_worse_and_the_others_better(results):
    result = results["sample_weights"]
    assert result.doubtful[1] > result.doubtful[0] + 0.1
    assert result.others[1] < result.others[0] - 0.1


def test_dividing_by_n_scales_the_learning_rate_by_the_mean_weight(results):
    result = results["sample_weights"]
    assert result.mean_weight == pytest.approx(0.84)
    assert result.mean_gap > 1e-3
    assert result.mean_gap_rescaled <= 1e-6


def test_a_heavier_class_is_found_more_often(results):
    unweighted, weighted = results["class_weights"].recall
    assert weighted > unweighted + 0.1


def test_small_batches_are_unbiased_here_and_biased_under_the_weights_of_the_batch(results):
    result = results["batch_normaliser"]
    assert result.ours == pytest.approx(0.5, abs=0.02)
    assert 0.1 < result.by_hand < 0.35
    assert result.by_hand == pytest.approx(result.expected_by_hand, abs=0.05)


def test_feature_weights_start_as_given_and_are_learned(results):
    result = results["feature_weights"]
    np.testing.assert_array_equal(result.before, [1, 1, 1, 3, 1])
    assert result.after.shape == (5,)
    assert np.abs(result.after - result.before).max() > 1e-2
    assert result.after.argmax() == 3


def test_five_weights_cannot_be_multiplied_into_ten_outputs(example, results):
    with pytest.raises(RuntimeError, match="size of tensor"):
        example.OutputsTimesInputWeights()(torch.ones(3, 5))
    assert "10" in results["feature_weights"].error


def test_the_example_prints_all_three_parts(example, results, capsys, monkeypatch):
    for name, result in results.items():
        monkeypatch.setattr(example, name, lambda result=result: result)
    example.main()
    printed = capsys.readouterr().out
    for part in ("(a) sample weights", "(b) class weights", "(c) feature weights"):
        assert part in printed
    assert f"{results['batch_normaliser'].by_hand:.3f}" in printed
