"""How far the seed moves the risk that the networks of ``examples/crash_survey.py`` predict.

Run ``OMP_NUM_THREADS=1 python benchmarks/crash_seeds.py``. It takes about 90 seconds on two cores,
and prints a Markdown table. Another processor rounds differently, which moves the risk as another
seed does.
"""

import sys
from pathlib import Path

import numpy as np
import sklearn

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import crash_survey

N_SEEDS = 12


def claims(seed, X, dead, weight, crash):
    """Predicted deaths per 100 occupants, by the networks of one seed."""
    with sklearn.config_context(enable_metadata_routing=True):
        risks = crash_survey.held_out_risks(X, dead, weight, crash, seed)
    return {name: 100 * np.average(risk, weights=weight) for name, risk in risks.items()}


def main():
    """Print a row for each kind of network."""
    survey = crash_survey.load()
    found = [claims(seed, *survey) for seed in range(N_SEEDS)]
    print("| network | smallest | median | largest | standard deviation |")
    print("| --- | --- | --- | --- | --- |")
    for name in found[0]:
        values = np.array([of_seed[name] for of_seed in found])
        print(
            f"| {name} | {values.min():.3f} | {np.median(values):.3f} | {values.max():.3f} | "
            f"{values.std(ddof=1):.3f} |"
        )


if __name__ == "__main__":
    main()
