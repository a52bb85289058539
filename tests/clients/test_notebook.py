"""The notebooks run from the first cell to the last, and show what their texts say."""

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

pytestmark = pytest.mark.clients
# What the text says of the table and of the picture of the probabilities.
CLAIMS = """
from skweight import calibration_table
assert (len(table), (weight == 0).sum()) == (26_217, 212)
bins = calibration_table(y_test, probability, sample_weight=w_test, n_bins=6)
assert (bins["observed_share"] + 1.96 * bins["standard_error"] < bins["mean_probability"])[:3].all()
"""

CLAIMS_OF_TOUR = """
observed = np.average(y_test == "leaves", weights=w_test)
assert abs(predicted_share(balanced) - observed) < 0.02
assert predicted_share(balanced.set_params(correct_prior=False)) > 2.5 * observed
assert auc > 0.75 and score > 0.95
learned = dict(zip(X.columns, trusted.feature_weights_))
assert learned["age"] < 0.3 < min(learned[name] for name in ("hours", "plan", "rating"))
assert search.stacked_.all()
"""


def run(name, folder, claims):
    """The outputs of a notebook that is followed by a cell of claims: pictures, and text."""
    notebook = nbformat.read(ROOT / "examples" / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # small, and no old results
    notebook.cells.append(nbformat.v4.new_code_cell(claims))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    return pictures, "".join(o["text"] for o in outputs if o.get("name") == "stdout")


@pytest.fixture(autouse=True)
def _kernels_draw_into_cells(monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)


def test_the_notebook_goes_from_a_raw_table_to_a_saved_model_with_five_pictures(tmp_path):
    pictures, printed = run("survey_to_production.ipynb", tmp_path, CLAIMS)
    text = (ROOT / "examples" / "survey_to_production.ipynb").read_text()
    assert "26,217" in text and "212 rows of weight 0" in text
    assert len(pictures) == 5
    assert "observed  0.60 deaths per 100 occupants" in printed and ", best " in printed


def test_the_tour_shows_the_three_kinds_of_weights(tmp_path):
    pictures, printed = run("tour.ipynb", tmp_path, CLAIMS_OF_TOUR)
    assert len(pictures) == 3
    assert "True True" in printed and "stopped at epoch" in printed
