"""Each script of the gallery runs by itself, draws, and shows what its text says."""

import runpy

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import ROOT, load_script

pytestmark = pytest.mark.clients
GALLERY = ROOT / "examples" / "gallery"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a script where it can leave nothing behind; give what it defined."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    plt.switch_backend("Agg")

    def run_script(name):
        found = runpy.run_path(str(GALLERY / f"plot_{name}.py"), run_name="__main__")
        assert shown and shown[-1], "nothing is drawn"
        for number in shown[-1]:
            plt.figure(number).canvas.draw()
        assert not list(tmp_path.iterdir())
        return found

    yield run_script
    plt.close("all")


def test_every_script_is_tested_and_has_its_place_in_the_gallery():
    names = {path.stem.removeprefix("plot_") for path in GALLERY.glob("plot_*.py")}
    place = load_script("docs/gallery_order.py").by_topic
    assert len(names) >= 12
    assert sorted(place(f"plot_{name}.py") for name in names) == list(range(len(names)))
    assert not [name for name in names if f"test_{name}" not in globals()]


def test_crash_survey(run):
    found = run("crash_survey")
    observed, predicted = found["observed"], found["predicted"]
    assert 0.5 < observed < 0.6  # deaths per 100 occupants; 4.5 in the sample
    assert abs(predicted["with weights"] / observed - 1) < 0.15
    assert predicted["without weights"] > 3 * observed
    with_weights, without = (found["by_speed"](p) / found["share"] for p in found["risk"].values())
    assert (without > 1.2).all() and (without > with_weights).all()
    assert (np.abs(with_weights[2:4] - 1) < 0.2).all()
    assert (with_weights[:2] > 1.5).all() and 0.6 < with_weights[4] < 0.8  # as the text admits


def test_rare_event(run):
    found = run("rare_event")
    y, probability, costs = found["y_test"], found["probability"], found["costs"]
    assert probability["as fitted"].mean() > 5 * y.mean()
    assert abs(probability["corrected"].mean() / y.mean() - 1) < 0.25
    by_costs = costs["corrected, threshold by the costs"]
    assert abs(by_costs - costs["corrected, threshold tuned"]) < 0.02
    assert by_costs < 1.1 * costs["the true probabilities"]
    rest = ("never an alarm", "corrected, threshold 0.5", "as fitted, threshold by the costs")
    assert all(costs[name] > 1.4 * by_costs for name in rest)
    minimum = {name: min(values) for name, values in found["curve"].items()}
    assert abs(minimum["as fitted"] - minimum["corrected"]) < 0.01


def test_insurance(run):
    found = run("insurance")
    years, claims = found["years"], found["claims"].sum()
    error = {
        name: np.mean(np.abs(rate / found["true_frequency"] - 1))
        for name, rate in found["fits"].items()
    }
    for name in ("years as weights", "years as offset"):
        assert found["fits"][name] @ years == pytest.approx(claims, rel=1e-6)
        assert error[name] < 0.11
    assert error["rates without weights"] > 1.5 * error["years as weights"]
    assert found["fits"]["years ignored"] @ years < 0.5 * claims
    assert found["premium"] @ years == pytest.approx(found["paid"], rel=0.02)


def test_time_decay(run):
    errors = run("time_decay")["errors"]
    best = min(errors, key=errors.get)
    assert 15 <= best <= 60
    assert errors[7] > 1.4 * errors[best] and errors[np.inf] > 2 * errors[best]
    after = [error for half_life, error in errors.items() if half_life >= best]
    assert after == sorted(after)


def test_covariate_shift(run):
    found = run("covariate_shift")
    errors, x = found["errors"], found["x_old"]
    assert errors["new", 0.0] > 2 * errors["new", 0.5] > 3 * errors["new", 1.0]
    assert errors["old", 0.0] < errors["old", 0.5] < errors["old", 1.0]
    true = found["NEW"].pdf(x) / found["OLD"].pdf(x)
    near = (x > 1.3) & (x < 2)
    assert near.sum() > 300
    assert np.mean(np.abs(found["ratio"][near] / true[near] - 1)) < 0.2


def test_replicate_weights(run):
    found = run("replicate_weights")
    results, mean = found["results"], found["MEAN"]

    def covered(name):
        ends = [result.confidence_interval() for result in results[name]]
        return sum(low < mean < high for low, high in ends)

    def error(name):
        return np.mean([result.standard_error for result in results[name]])

    assert covered("schools drawn anew") >= 17 > 13 >= covered("pupils drawn anew")
    assert error("schools drawn anew") == pytest.approx(found["spread"], rel=0.25)
    assert error("pupils drawn anew") < 0.5 * found["spread"]


def test_noisy_labels(run):
    mean = {name: error.mean() for name, error in run("noisy_labels")["errors"].items()}
    assert min(mean, key=mean.get) == "1 / s^2"
    assert mean["1 / s^0"] > 2 * mean["1 / s^2"]
    assert max(mean["1 / s^1"], mean["1 / s^3"]) < mean["laboratory only"] < mean["1 / s^0"]


def test_feature_weights(run):
    found = run("feature_weights")
    scores, useful = found["scores"], found["USEFUL"]
    none, free, decayed, known = scores.values()
    assert none < free < known < decayed and decayed > none + 0.15
    weights = np.abs(found["fits"]["learned, with decay"].feature_weights_)
    assert weights[:useful].min() > 0.5 and weights[useful:].max() < 0.25
    assert np.abs(found["fits"]["learned, no decay"].feature_weights_[useful:]).min() > 0.8


def test_multilabel(run):
    found = run("multilabel")
    recall, mean, share = found["recall"], found["mean"], found["Y_test"].mean(axis=0)
    assert recall["no class weights"][3] < 0.1 and (recall["balanced"] > 0.7).all()
    assert found["precision"]["balanced"][3] < 0.2
    assert 0.3 < recall["a list, for foxes only"][3] < 0.7
    exaggerated = mean["balanced"] / share
    assert (np.diff(exaggerated) > 0).all() and exaggerated[3] > 8
    assert (np.abs(mean["balanced, corrected"] / share - 1) < 0.3).all()


def test_quantiles(run):
    below = run("quantiles")["below"]
    assert np.abs(below["with weights"] - [0.05, 0.5, 0.95]).max() < 0.02
    assert 0.8 < below["without weights"][1] < 0.9


def test_digits_cnn(run):
    found = run("digits_cnn")
    upright, upside_down = found["accuracy"].values()
    assert found["of_mail"][0] > found["of_mail"][2] + 0.02
    assert upright[0] > upright[2] and upside_down[2] > upside_down[0] + 0.15
    says_nine = {share: p[found["nines"], 9] for share, p in found["probability"].items()}
    assert (says_nine[0.02] < 0.25).all() and (says_nine[0.5] > 0.3).all()


def test_text_and_table(run):
    found = run("text_and_table")
    auc = found["auc"]
    assert auc["both"] > auc["words"] + 0.01 and auc["words"] > auc["table"] + 0.1
    mean = {name: p.mean() for name, p in found["predicted"].items()}
    assert mean["with weights"] == pytest.approx(found["new_urgent"].mean(), rel=0.1)
    assert mean["without weights"] > 1.5 * found["new_urgent"].mean()
    learned = found["learned"]
    effects = [found["EFFECT"][word] for word in learned]
    assert np.corrcoef(effects, list(learned.values()))[0, 1] > 0.95


def test_members(run):
    found = run("members")
    one, five = ([losses.mean() for losses in found["loss"][k]] for k in (1, 5))
    ratio = np.array(five) / one
    assert (ratio < 1).all() and ratio[0] < 0.7 < 0.8 < ratio[-1]
    out_of_fold, new = (np.array(values) for values in found["measured"].values())
    too_good = new - out_of_fold
    assert too_good[0] > 0.08 and (np.abs(too_good[2:]) < 0.03).all()
