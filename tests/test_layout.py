"""The layout of the package: what may import what, how long things may grow, and what is done once.

Each test collects all faults before it fails, as ``file:line: what``.
"""

import ast
import importlib
import pkgutil
import re
import sys
from inspect import signature
from pathlib import Path

import skweight

PACKAGE = Path(skweight.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
NODES = {path: [*ast.walk(tree)] for path, tree in TREES.items()}
# What each entry of the package may import: others of its entries, and other libraries.
LOWEST = {"_keywords"}
MAY_IMPORT = {
    "_keywords": (set(), {"numpy"}),
    "weights": (LOWEST, {"numpy"}),
    "losses": (LOWEST, {"torch"}),
    "modules": (LOWEST, {"torch"}),
    "data": (LOWEST | {"weights"}, {"narwhals", "numpy", "scipy", "sklearn", "torch"}),
    "training": (
        LOWEST | {"losses", "modules", "data"},
        {"cloudpickle", "joblib", "numpy", "scipy", "sklearn", "skorch", "torch", "tqdm"},
    ),
    "stacks": (LOWEST | {"losses", "modules", "data", "training"}, {"skorch", "torch"}),
    "estimators": (
        LOWEST | {"weights", "losses", "modules", "data", "training", "stacks"},
        {"numpy", "onnx", "onnxscript", "pandas", "scipy", "sklearn", "torch"},
    ),
    "ensembles": (
        LOWEST | {"weights", "data", "training", "stacks", "estimators"},
        {"joblib", "narwhals", "numpy", "pandas", "scipy", "sklearn"},
    ),
    "search": (
        LOWEST | {"weights", "data", "training", "stacks", "estimators"},
        {"joblib", "numpy", "sklearn"},
    ),
    "inspection": (LOWEST | {"weights", "modules"}, {"matplotlib", "numpy", "sklearn"}),
}
FOR_TYPE_CHECKERS = {"typing_extensions"}  # on Python 3.10, where typing has less
TORCH_INTERNALS = "training/torch_internals.py"
MOST_ENTRIES, LONGEST_FILE, LONGEST_FUNCTION, MOST_CLASSES_ABOVE = 13, 400, 50, 2


# --------------------------------------------------------------------------------------
# Reading the source
# --------------------------------------------------------------------------------------


def name_of(path):
    """``training/run.py`` of ``.../skweight/training/run.py``."""
    return path.relative_to(PACKAGE).as_posix()


def package_of(path):
    """``training`` of ``.../skweight/training/run.py``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def nodes(*kinds):
    """All nodes of these kinds, with their file and a text that says where they are."""
    for path, of_file in NODES.items():
        for node in of_file:
            if isinstance(node, kinds):
                yield path, node, f"{name_of(path)}:{getattr(node, 'lineno', 1)}"


def imports():
    """All imports: the file, the module, the names taken from it, and where."""
    for path, node, where in nodes(ast.Import, ast.ImportFrom):
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}: relative import"
            yield path, node.module, names, where
        else:
            yield from ((path, name, [], where) for name in names)


def listed(faults):
    """A fault a line, for the message of a test."""
    return "\n".join(["", *sorted(faults)])


def is_docstring(statement):
    """Whether a statement is nothing but a text."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def lines_of_code(node):
    """Lines of a file or function that hold code: no docstring, comment or blank line."""
    return {
        line
        for part in ast.walk(node)
        if isinstance(part, ast.stmt) and not is_docstring(part)
        for line in own_lines(part)
    }


def own_lines(statement):
    """Lines of a statement, without those of statements inside it."""
    inside = [part for part in ast.walk(statement) if isinstance(part, ast.stmt)][1:]
    taken = {line for part in inside for line in range(part.lineno, part.end_lineno + 1)}
    return {*range(statement.lineno, statement.end_lineno + 1)} - taken


# --------------------------------------------------------------------------------------
# What may import what
# --------------------------------------------------------------------------------------


def test_the_package_has_few_entries_and_every_one_has_its_import_rule():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert len(entries) <= MOST_ENTRIES
    ruled = {f"{name}.py" if (PACKAGE / f"{name}.py").exists() else name for name in MAY_IMPORT}
    assert entries == ruled | {"__init__.py", "py.typed"}


def test_a_package_imports_only_from_packages_below_it():
    """So the package can be read from the bottom up, and a change stays above what it touches."""
    faults = []
    for path, module, _, where in imports():
        top, *rest = module.split(".")
        package = package_of(path)
        if top == "skweight" and package != "__init__":
            allowed = MAY_IMPORT[package][0] | {package}
            faults += [f"{where}: {module}"] if not rest or rest[0] not in allowed else []
    assert not faults, listed(faults)


def test_files_of_another_package_are_reached_through_its_init():
    """So a file can be moved, split or renamed without anyone outside its package noticing."""
    faults = [
        f"{where}: {module}"
        for path, module, _, where in imports()
        if module.startswith("skweight.")
        and module.split(".")[1] != package_of(path)
        and module.count(".") > 1
    ]
    assert not faults, listed(faults)


def test_private_names_stay_in_their_package():
    """What another package needs has a public name, which the ``__init__`` exports."""
    faults = [
        f"{where}: {name}"
        for path, module, names, where in imports()
        if module.startswith("skweight.") and module.split(".")[1] != package_of(path)
        for name in names
        if name.startswith("_")
    ]
    exported = [
        f"{where}: {name}"
        for path, _, names, where in imports()
        if path.name == "__init__.py"
        for name in names
        if name.startswith("_")
    ]
    assert not faults + exported, listed(faults + exported)


def test_private_attributes_are_used_only_in_the_package_that_defines_them():
    """But for those of torch, which are in one file, and those of the object itself."""
    defined = {(package_of(path), name) for path, name in definitions()}
    faults = [
        f"{where}: {ast.unparse(node)}"
        for path, node, where in nodes(ast.Attribute)
        if node.attr.startswith("_")
        and not node.attr.startswith("__")
        and name_of(path) != TORCH_INTERNALS
        and ast.unparse(node.value) not in {"self", "cls", "super()"}
        and (package_of(path), node.attr) not in defined
    ]
    assert not faults, listed(faults)


def definitions():
    """Names of functions, classes, variables and attributes, with the file that defines them."""
    for path, node, _ in nodes(ast.FunctionDef, ast.ClassDef):
        yield path, node.name
    for path, node, _ in nodes(ast.Name, ast.Attribute):
        if isinstance(node.ctx, ast.Store):
            yield path, node.id if isinstance(node, ast.Name) else node.attr


def test_other_libraries_are_imported_only_where_they_belong():
    """skorch only where networks are trained, numpy alone for weights, torch alone for losses."""
    faults = []
    for path, module, _, where in imports():
        top, package = module.split(".")[0], package_of(path)
        if top not in {"skweight", *FOR_TYPE_CHECKERS, *sys.stdlib_module_names}:
            faults += [f"{where}: {module}"] if top not in MAY_IMPORT[package][1] else []
    assert not faults, listed(faults)


# --------------------------------------------------------------------------------------
# How long things may grow
# --------------------------------------------------------------------------------------


def test_every_file_says_what_it_is_for_and_is_short():
    for path, tree in TREES.items():
        assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    lengths = {name_of(path): len(lines_of_code(tree)) for path, tree in TREES.items()}
    faults = [f"{name}: {n}" for name, n in lengths.items() if n > LONGEST_FILE]
    assert not faults, listed(faults)


def test_functions_are_short():
    """But for ``__init__``: an estimator has as many lines there as it has parameters."""
    lengths = {
        f"{where}: {node.name}": len(lines_of_code(node))
        for _, node, where in nodes(ast.FunctionDef)
        if node.name != "__init__"
    }
    faults = [f"{name}: {n}" for name, n in lengths.items() if n > LONGEST_FUNCTION]
    assert not faults, listed(faults)


def test_no_class_has_more_than_two_classes_of_skweight_above_it():
    """Estimators have a task, they do not inherit one."""
    modules = [m.name for m in pkgutil.walk_packages(skweight.__path__, "skweight.")]
    classes = {
        thing
        for module in modules
        for thing in vars(importlib.import_module(module)).values()
        if isinstance(thing, type) and thing.__module__.startswith("skweight.")
    }
    assert skweight.WeightedTorchClassifier in classes
    above = {
        cls.__qualname__: [c.__qualname__ for c in cls.__mro__[1:] if c in classes]
        for cls in classes
    }
    faults = [
        f"{name}: {names}" for name, names in above.items() if len(names) > MOST_CLASSES_ABOVE
    ]
    assert not faults, listed(faults)


# --------------------------------------------------------------------------------------
# What is done once, and what is not done
# --------------------------------------------------------------------------------------


def assert_only_in(file, places):
    """Something occurs in this file and nowhere else."""
    faults = [where for where in places if not where.startswith(f"{file}:")]
    assert not faults, listed(faults)
    assert places


def test_warnings_are_pointed_at_the_line_of_the_user_in_one_place():
    """A ``stacklevel`` counts calls, and is wrong when one is added: ``warn`` finds the line."""
    places = [where for _, node, where in nodes(ast.keyword) if node.arg == "stacklevel"]
    assert_only_in("_keywords.py", places)


def test_hints_at_near_names_are_made_in_one_place():
    """By ``did_you_mean``, so that all errors ask in the same words."""
    places = [
        where
        for _, node, where in nodes(ast.Name, ast.alias)
        if getattr(node, "id", getattr(node, "name", "")) == "get_close_matches"
    ]
    assert_only_in("_keywords.py", places)


CUTTING = {"partition", "rpartition", "split", "replace", "startswith", "endswith"}
CUTTING |= {"removeprefix", "removesuffix", "index", "find"}


def test_no_error_is_recognised_or_rewritten_by_its_text():
    """Texts are for people and change; errors carry attributes, functions take ``name=``.

    Except that torch says by nothing but a text that the memory of a CPU has run out.
    """
    faults = []
    (allowed,) = [n for _, n, _ in nodes(ast.FunctionDef) if n.name == "is_out_of_memory"]
    for _, node, where in nodes(ast.Compare):
        if node in ast.walk(allowed):
            continue
        faults += [where for part in [node.left, *node.comparators] if is_text_of_error(part)]
    for _, node, where in nodes(ast.Attribute):
        if node.attr in CUTTING and is_text_of_error(node.value):
            faults.append(where)
    assert not faults, listed(faults)


def is_text_of_error(node):
    """Whether an expression is ``str(error)``, or an element of ``error.args``."""
    source = ast.unparse(node)
    return source in {f"str({name})" for name in ERRORS} | {f"{name}.args[0]" for name in ERRORS}


# What errors are called where they are caught.
ERRORS = {node.name for _, node, _ in nodes(ast.ExceptHandler) if node.name} | {"error"}


def test_no_object_changes_its_class():
    """A reader could not tell what a method does; delegate to another object instead."""
    faults = [
        where
        for path, node, where in nodes(ast.Attribute)
        if isinstance(node.ctx, ast.Store)
        and (node.attr == "__class__" or (node.attr == "__dict__" and package_of(path) == "search"))
    ]
    assert not faults, listed(faults)


RUN_TEXT_OR_FILES = {"eval", "exec", "pickle.load", "pickle.loads", "joblib.load"}


def test_no_text_and_no_file_is_run():
    """Files are read by ``torch.load`` with ``weights_only=True``, which runs no code of them."""
    calls = [(node, where) for _, node, where in nodes(ast.Call)]
    faults = [where for node, where in calls if ast.unparse(node.func) in RUN_TEXT_OR_FILES]
    loads = [(node, where) for node, where in calls if ast.unparse(node.func) == "torch.load"]
    for node, where in loads:
        if "weights_only=True" not in [ast.unparse(keyword) for keyword in node.keywords]:
            faults.append(where)
    assert not faults, listed(faults)
    assert loads


PRIVATE_CORNERS = {"_modules", "_parameters", "_buffers"}


def test_private_corners_of_torch_are_in_one_file():
    """They may change with any version; there each has its reason and the versions seen."""
    found = []
    for _, node, where in nodes(ast.Attribute):
        source = ast.unparse(node)
        own = isinstance(node.value, ast.Name) and node.value.id == "self"
        if (
            source.startswith(("torch._", "torch.ops.aten"))
            or node.attr.startswith("_foreach")
            or (node.attr in PRIVATE_CORNERS and not own)
        ):
            found.append(where)
    for _, module, _, where in imports():
        found += [where] if module.startswith("torch._") else []
    for _, node, where in nodes(ast.Constant):  # names of modules, as texts
        found += [where] if str(node.value).startswith("torch._") else []
    assert_only_in(TORCH_INTERNALS, {*found})


def test_no_function_changes_a_variable_of_its_module():
    """State of the process would make a fit depend on what ran before it."""
    faults = [where for *_, where in nodes(ast.Global)]
    assert not faults, listed(faults)


def test_there_is_one_reduction():
    """Only ``losses`` averages losses of rows; elsewhere a weight could be lost on the way."""
    means, weighted = [], []
    for path, node, where in nodes(ast.Call):
        called = ast.unparse(node.func)
        if package_of(path) in ("training", "stacks"):
            weighted += [where] if called.endswith("weighted_mean") else []
            means += [where] if called.endswith(".mean") else []
    faults = [where for where in means if "loss" in source_line(where)]
    assert not faults, listed(faults)
    assert weighted


def source_line(where):
    """The line at a place."""
    name, number = where.split(":")
    return (PACKAGE / name).read_text().splitlines()[int(number) - 1]


# --------------------------------------------------------------------------------------
# What users import
# --------------------------------------------------------------------------------------


def test_names_that_users_import_exist_and_are_documented():
    public = {name: getattr(skweight, name) for name in skweight.__all__}
    warned = {n for n, t in public.items() if isinstance(t, type) and issubclass(t, Warning)}
    for name in public.keys() - warned:
        doc, has_parameters = public[name].__doc__, bool(signature(public[name]).parameters)
        assert ("Parameters\n" in doc) == has_parameters and ">>>" in doc, name
    assert all(public[name].__doc__ for name in warned)
    from skweight.losses import CrossEntropy, Focal, PolyTailed, cross_entropy, weighted_mean
    from skweight.modules import MLP
    from skweight.weights import to_mean_one

    named = CrossEntropy, Focal, PolyTailed, cross_entropy, weighted_mean, MLP, to_mean_one
    assert all(thing.__doc__ for thing in named)


PUBLIC_PACKAGES = {"inspection", "losses", "modules", "weights"}


def test_dir_shows_what_is_public_and_nothing_else():
    assert dir(skweight) == sorted([*skweight.__all__, *PUBLIC_PACKAGES, "__version__"])
    assert all(hasattr(skweight, name) for name in dir(skweight))
    assert skweight.__all__ == sorted(skweight.__all__)
    used = {
        module.split(".")[1]
        for page in [PACKAGE.parent / "README.md", *(PACKAGE.parent / "docs").glob("*.md")]
        for module in re.findall(r"(?:from|import) (skweight\.\w+)", page.read_text())
    }
    assert used <= PUBLIC_PACKAGES


def test_a_star_import_brings_the_public_names_and_no_packages():
    """``weights`` would be a likely name for a variable of the user."""
    names = {}
    exec("from skweight import *", names)
    assert names.keys() - {"__builtins__"} == {*skweight.__all__}
    assert not {*skweight.__all__} & PUBLIC_PACKAGES
