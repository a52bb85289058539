"""The house: what each package may import, and how long files and functions may grow."""

import ast
import sys
from pathlib import Path

import pytest

import skweight

HOUSE = Path(skweight.__file__).parent
# What each package may import of skweight, and of other libraries.
LOWEST = {"_keywords"}
MAY_IMPORT = {
    "_keywords": (set(), {"numpy"}),
    "weights": (LOWEST, {"numpy"}),
    "losses": (LOWEST, {"torch"}),
    "modules": (LOWEST, {"torch"}),
    "data": (LOWEST | {"weights"}, {"numpy", "scipy", "sklearn", "torch"}),
    "training": (
        LOWEST | {"losses", "modules", "data"},
        {"numpy", "scipy", "sklearn", "skorch", "torch"},
    ),
    "stacks": (LOWEST | {"losses", "modules", "data", "training"}, {"skorch", "torch"}),
    "estimators": (
        LOWEST | {"weights", "losses", "modules", "data", "training"},
        {"numpy", "scipy", "sklearn", "torch"},
    ),
    "search": (
        LOWEST | {"weights", "data", "training", "stacks", "estimators"},
        {"joblib", "numpy", "sklearn", "tqdm"},
    ),
}
FILES = sorted(HOUSE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 400, 50


def name_of(path):
    return str(path.relative_to(HOUSE).with_suffix(""))


def package_of(path):
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(path):
    """Modules that a file imports, by their full names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module


def lines_of_code(node):
    """Lines of a file or function that hold code: no docstring, comment or blank line."""
    return {
        line
        for part in ast.walk(node)
        if isinstance(part, ast.stmt) and not is_docstring(part)
        for line in own_lines(part)
    }


def is_docstring(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def own_lines(statement):
    """Lines of a statement, those of statements inside of it left out."""
    inside = [part for part in ast.walk(statement) if isinstance(part, ast.stmt)][1:]
    taken = {line for part in inside for line in range(part.lineno, part.end_lineno + 1)}
    return {*range(statement.lineno, statement.end_lineno + 1)} - taken


def test_the_house_has_few_rooms():
    entries = [path.name for path in HOUSE.iterdir() if path.name != "__pycache__"]
    assert {*MAY_IMPORT} == {name.removesuffix(".py") for name in entries} - {
        "__init__",
        "py.typed",
    }
    assert len(entries) <= 11


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_package_imports_only_from_packages_below_it(path):
    package = package_of(path)
    if package == "__init__":
        return
    own, libraries = MAY_IMPORT[package]
    for module in imports(path):
        top, *rest = module.split(".")
        if top == "skweight":
            assert rest and rest[0] in own | {package}, f"{path} imports {module}"
            # Files of another package are reached through its __init__ only.
            assert rest[0] == package or len(rest) == 1, f"{path} imports {module}"
        elif top not in sys.stdlib_module_names:
            assert top in libraries, f"{path} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_short(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert len(lines_of_code(tree)) <= LONGEST_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            assert len(lines_of_code(node)) <= LONGEST_FUNCTION, f"{path}: {node.name}"


def test_no_class_has_more_than_two_classes_of_skweight_above_it():
    seen = []
    for module in [m for name, m in sys.modules.items() if name.startswith("skweight.")]:
        for kind in [c for c in vars(module).values() if isinstance(c, type)]:
            if kind.__module__.startswith("skweight."):
                above = [c for c in kind.__mro__[1:] if c.__module__.startswith("skweight.")]
                assert len(above) <= 2, kind
                seen.append(kind)
    assert skweight.WeightedTorchClassifier in seen


def test_there_is_one_reduction():
    """Only ``losses`` averages a loss; elsewhere a weight could be lost on the way."""
    for name in ("net", "steps"):
        source = (HOUSE / "training" / f"{name}.py").read_text()
        assert ".mean()" not in source and "weighted_mean(" in source


def test_names_that_users_import_are_there_and_documented():
    for name in skweight.__all__:
        docstring = getattr(skweight, name).__doc__
        assert "Parameters\n" in docstring and ">>>" in docstring
    from skweight.losses import CrossEntropy, Focal, PolyTailed, cross_entropy, weighted_mean
    from skweight.modules import MLP
    from skweight.weights import to_mean_one

    named = CrossEntropy, Focal, PolyTailed, cross_entropy, weighted_mean, MLP, to_mean_one
    assert all(thing.__doc__ for thing in named)
