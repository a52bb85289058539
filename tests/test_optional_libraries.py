"""What is optional stays optional: nothing of it is needed or imported until it is used."""

import re
import subprocess
import sys

from helpers import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text()
EXTRAS = dict(re.findall(r"^([a-z]+) = \[(.*?)\]$", PROJECT, re.DOTALL | re.MULTILINE))
OPTIONAL = [
    *("pandas", "polars", "pyarrow", "matplotlib", "rich"),
    *("onnx", "onnxscript", "onnxruntime", "skops", "tensorboard", "ipywidgets", "IPython"),
]
BLOCK = f"""
import sys, warnings

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
USE = """
import copy, pickle
import numpy as np
import skweight
from skweight.inspection import TrainingCurveDisplay

X = np.random.default_rng(0).normal(size=(80, 2))
model = skweight.WeightedTorchClassifier(max_epochs=2, early_stopping=True, verbose=2, n_members=1)
model.fit(X, X[:, 0] > 0, np.arange(80.0))
assert model.best_epoch_ in (1, 2)
again = pickle.loads(pickle.dumps(model))
assert (again.predict_proba(X) == model.predict_proba(X)).all()
uses = {
    "pandas": model.history_frame,
    "onnx": lambda: model.to_onnx("model.onnx"),
    "examples": lambda: TrainingCurveDisplay.from_estimator(model),
}
for extra, use in uses.items():
    try:
        use()
    except ImportError as error:
        assert f"skweight[{extra}]" in str(error), error
    else:
        raise AssertionError(extra)
"""
ADDED = """
import sys
import joblib, narwhals, numpy, scipy, sklearn, skorch, torch, tqdm
try:
    import sklearn.callback
except ImportError:
    pass
before = {*sys.modules}
import skweight
tops = {name.partition(".")[0] for name in {*sys.modules} - before}
of_those = {"numpy", "scipy", "sklearn", "skorch", "joblib", "torch"}
print(sorted(tops - sys.stdlib_module_names - of_those))
"""


def output_of(code, folder):
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_without_optional_libraries_all_else_works_and_errors_name_the_extra(tmp_path):
    assert ", best " in output_of(BLOCK + USE, tmp_path)


def test_an_import_brings_no_library_that_torch_and_scikit_learn_do_not_bring(tmp_path):
    added = output_of(ADDED, tmp_path).strip()
    assert set(re.findall(r"'(\w+)'", added)) <= {"skweight", "cloudpickle"} and "skweight" in added


def test_extras_that_errors_and_pages_name_exist():
    sources = [*ROOT.glob("skweight/**/*.py"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    sources += [*ROOT.glob("examples/*.ipynb")]
    named = {
        extra
        for path in sources
        for extras in re.findall(r"skweight\[([\w,]+)\]", path.read_text())
        for extra in extras.split(",")
    }
    assert named <= EXTRAS.keys() and len(named) >= 3
    holds = {"pandas": "pandas", "onnx": "onnxruntime", "examples": "matplotlib"}
    assert all(f'"{library}>=' in EXTRAS[extra] for extra, library in holds.items())
