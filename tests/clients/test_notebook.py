"""The notebook runs from the first cell to the last, and draws five pictures."""

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
NOTEBOOK = ROOT / "examples" / "survey_to_production.ipynb"


def test_the_notebook_goes_from_a_raw_table_to_a_saved_model_with_five_pictures(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel draws into its cells
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # small, and no old results
    assert "26,217" in notebook.cells[0].source and "212 rows of weight 0" in str(notebook)
    notebook.cells.append(nbformat.v4.new_code_cell(CLAIMS))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    printed = "".join(o["text"] for o in outputs if o.get("name") == "stdout")
    assert len(pictures) == 5
    assert "observed  0.60 deaths per 100 occupants" in printed and ", best " in printed
