"""How class weights change probabilities, and how ``correct_prior`` corrects them.

20 features, 5 % positives, 8,000 rows to train and 16,000 to test, rows weighted by a function of
one feature in training and in all scores, a network with 32 hidden units, stopped early, means
over 5 seeds. ``class_weight`` and ``logit_adjustment`` say how much a class is to
count, and probabilities are then those of a population in which it does. With
``correct_prior=True`` the same network gives probabilities for the population of its rows. The
calibration error is the mean distance between claimed probabilities and weighted shares, over
15 bins of equal width. The ranking of the rows, and so the area under the curve, stays as it is.
Corrected logit adjustment is training without weights, after a shift of the scores.

Run ``OMP_NUM_THREADS=1 python benchmarks/prior_correction.py``: about 40 seconds.
"""

import numpy as np
from peers import PLAIN
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score

from skweight import WeightedTorchClassifier, effective_number

N_TRAIN, N_TEST, N_BINS = 8000, 16000, 15
SEEDS = range(5)
COLUMNS = ["log loss", "Brier", "calibration", "mean p", "AUC", "balanced acc."]
# As scikit-learn stops: a tenth held out, and the last parameters, not their average.
STOPPED = {"early_stopping": True, "validation_fraction": 0.1, "ema_decay": 0}
BALANCED = {"class_weight": "balanced"}
SETTINGS = {
    "no weights": {},
    "balanced": BALANCED,
    "balanced, power 0.5": {**BALANCED, "class_weight_power": 0.5},
    "effective_number(0.999)": {"class_weight": effective_number(0.999)},
    "logit_adjustment 1": {"logit_adjustment": 1.0},
    "focal": {"criterion": "focal"},
    "focal, balanced": {"criterion": "focal", **BALANCED},
}


def make_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and sample_weight: two classes in two clusters each, 2 % of the labels at random."""
    X, y = make_classification(
        N_TRAIN + N_TEST,
        20,
        n_informative=8,
        n_redundant=4,
        class_sep=1.5,
        weights=[0.96],
        flip_y=0.02,
        random_state=seed,
    )
    return X, y, np.exp(X[:, 0] / X[:, 0].std() / 2)


def calibration_error(y: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    """Mean distance between probability and share of positives, over bins of equal width."""
    bins = np.minimum((probability * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, weight * (probability - y), minlength=N_BINS)
    return float(np.abs(gaps).sum() / weight.sum())


def measure(seed: int, setting: dict[str, object]) -> np.ndarray:
    """Test scores without and with correction, of one network: shape (2, n_columns)."""
    X, y, weight = make_data(seed)
    train, test = slice(N_TRAIN), slice(N_TRAIN, None)
    model = WeightedTorchClassifier(
        module__hidden_sizes=(32,),
        max_epochs=40,
        random_state=seed,
        device="cpu",
        **PLAIN | STOPPED | setting,
    ).fit(X[train], y[train], weight[train])
    X, y, weight = X[test], y[test], weight[test]
    found = []
    for correct in (False, True):
        p = model.set_params(correct_prior=correct).predict_proba(X)[:, 1]
        labels = model.predict(X)
        found.append(
            [
                log_loss(y, p, sample_weight=weight),
                brier_score_loss(y, p, sample_weight=weight),
                calibration_error(y, p, weight),
                np.average(p, weights=weight),
                roc_auc_score(y, p, sample_weight=weight),
                balanced_accuracy_score(y, labels, sample_weight=weight),
            ]
        )
    return np.array(found)


def main() -> None:
    """Print the table."""
    data = [make_data(seed) for seed in SEEDS]
    plain = np.mean([y[N_TRAIN:].mean() for _, y, _ in data])
    share = np.mean([np.average(y[N_TRAIN:], weights=w[N_TRAIN:]) for _, y, w in data])
    print(f"Share of positives among the test rows: {share:.3f} weighted, {plain:.3f} counted\n")
    print(f"| training | {' | '.join(COLUMNS)} |\n{'| --- ' * (len(COLUMNS) + 1)}|")
    for name, setting in SETTINGS.items():
        found = np.mean([measure(seed, setting) for seed in SEEDS], axis=0)
        weighted = "class_weight" in setting or "logit_adjustment" in setting
        for label, scores in zip((name, "- corrected"), found if weighted else found[:1]):
            print(f"| {label} | {' | '.join(f'{score:.3f}' for score in scores)} |", flush=True)


if __name__ == "__main__":
    main()
