"""The rooms of the package: who may import whom, and how large a file may grow."""

import ast
import sys
from pathlib import Path

import pytest

import skweight

PACKAGE = Path(skweight.__file__).parent
LEVELS = {
    "weights": 0,
    "merging": 0,
    "losses": 0,
    "target_losses": 1,
    "layers": 0,
    "encodings": 0,
    "isolation": 0,
    "options": 0,
    "keywords": 0,
    "averages": 0,
    "budget": 0,
    "availability": 0,
    "parameters": 0,
    "recipes": 1,
    "summary": 1,
    "weighted": 1,
    "links": 1,
    "data": 1,
    "validation": 2,
    "net": 4,
    "steps": 3,
    "moments": 3,
    "batches": 2,
    "modules": 1,
    "criteria": 2,
    "prediction": 3,
    "preparation": 4,
    "streams": 3,
    "training": 5,
    "labels": 4,
    "fitted": 6,
    "estimators": 7,
    "classification": 8,
    "regression": 8,
    "regressor": 9,
    "classifier": 9,
    "stacked_layers": 1,
    "stacked_networks": 2,
    "stacked_steps": 3,
    "stacks": 6,
    "folds": 8,
    "candidates": 9,
    "standins": 10,
    "search": 11,
    "__init__": 12,
}
# Packages that only the files named here may import. The standard library is free.
ALLOWED = {
    "torch": {
        "losses",
        "target_losses",
        "layers",
        "encodings",
        "isolation",
        "options",
        "links",
        "data",
        "batches",
        "moments",
        "averages",
        "steps",
        "net",
        "modules",
        "criteria",
        "prediction",
        "preparation",
        "streams",
        "training",
        "labels",
        "fitted",
        "estimators",
        "regressor",
        "stacked_layers",
        "stacked_networks",
        "stacked_steps",
        "stacks",
    },
    "sklearn": {
        "parameters",
        "validation",
        "net",
        "training",
        "labels",
        "fitted",
        "estimators",
        "regressor",
        "classifier",
        "folds",
        "candidates",
        "standins",
        "search",
    },
    "scipy": {"data", "batches", "net", "labels"},
    "skorch": {"net", "training", "stacks"},
    "numpy": {
        "weights",
        "merging",
        "recipes",
        "summary",
        "weighted",
        "parameters",
        "data",
        "batches",
        "moments",
        "prediction",
        "validation",
        "net",
        "labels",
        "fitted",
        "estimators",
        "classification",
        "regression",
        "regressor",
        "classifier",
        "standins",
        "search",
    },
    "joblib": {"candidates"},
    "tqdm": {"candidates"},
    "matplotlib": set(),
}


def imports(path):
    """Pairs of a package and, within skweight, the file that is imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((name.name.split(".")[0], "") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            package, _, module = node.module.partition(".")
            if package == "skweight" and not module:
                yield from ((package, name.name) for name in node.names)
            else:
                yield package, module.split(".")[0]


FILES = sorted(PACKAGE.glob("*.py"))


def test_every_file_has_a_level():
    assert {path.stem for path in FILES} == set(LEVELS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_imports_only_from_lower_levels_and_its_own_packages(path):
    for package, module in imports(path):
        if package == "skweight":
            assert LEVELS[module] < LEVELS[path.stem], f"{path.stem} imports {module}"
        elif package not in sys.stdlib_module_names:
            assert path.stem in ALLOWED[package], f"{path.stem} imports {package}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_stays_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 400
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_fit_is_short_because_its_steps_have_names():
    for name in ("classifier", "regressor"):
        tree = ast.parse((PACKAGE / f"{name}.py").read_text())
        fits = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "fit"]
        for fit in fits:
            code = fit.end_lineno - fit.body[0].end_lineno  # what follows the docstring
            assert 0 < code <= 25


def test_there_is_one_reduction():
    """Only ``losses`` averages a loss; elsewhere a weight could be lost on the way."""
    for name in ("net", "steps"):
        source = (PACKAGE / f"{name}.py").read_text()
        assert ".mean()" not in source and "weighted_mean(" in source


def test_all_public_names_are_documented():
    for name in skweight.__all__:
        docstring = getattr(skweight, name).__doc__
        assert "Parameters\n" in docstring and ">>>" in docstring
