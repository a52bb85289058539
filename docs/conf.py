"""Sphinx configuration of the site; CONTRIBUTING.md says how to build it."""

import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import skweight  # noqa: E402

project, author = "skweight", "the skweight developers"
copyright = f"2026, {author}"
version = release = skweight.__version__
REPOSITORY = "https://github.com/skweight/skweight"

extensions = [
    "myst_nb",  # with myst_parser
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_codeautolink",
    "links",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_templates", "gallery/*.ipynb"]
templates_path = ["_templates"]
nitpicky = False


def _own_methods(public: Any) -> list[str]:
    """Public methods that are skweight's, in alphabetical order; nothing for a function."""
    if not isinstance(public, type):
        return []
    found = {name: getattr(public, name) for name in dir(public) if not name.startswith("_")}
    return [
        name
        for name, method in found.items()
        if callable(method) and getattr(method, "__module__", "").startswith("skweight")
    ]


# Markdown -----------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 4
# Blocks that only some environments can run are marked "python onnx", and are Python all the same.
suppress_warnings = ["misc.highlighting_failure"]

# Notebooks ----------------------------------------------------------------------------------

nb_execution_mode = "force"
nb_execution_timeout = 500
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "remove"  # progress bars, of which each state would be a line

# API ----------------------------------------------------------------------------------------

autosummary_generate = True
# The page of a class is api/NAME.html, where the "?" of a notebook looks for it.
PUBLIC = {
    "skweight": skweight.__all__,
    "skweight.inspection": [
        "CalibrationDisplay",
        "FeatureWeightDisplay",
        "TrainingCurveDisplay",
        "WeightDisplay",
        "WeightSearchDisplay",
    ],
}
autosummary_filename_map = {
    f"{package}.{name}": name for package, names in PUBLIC.items() for name in names
}
# What the page of a class lists: the methods that skweight defines or documents anew.
autosummary_context = {
    "own_methods": {
        f"{package}.{name}": _own_methods(getattr(import_module(package), name))
        for package, names in PUBLIC.items()
        for name in names
    }
}
autodoc_typehints = "none"  # docstrings have the types
autodoc_class_signature = "mixed"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Gallery ------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": str(DOCS.parent / "examples" / "gallery"),
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_",
    "within_subsection_order": "gallery_order.by_topic",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "thumbnail_size": (480, 336),
    "write_computation_times": False,
    "download_all_examples": False,
}

# Links ----------------------------------------------------------------------------------------

codeautolink_concat_default = True  # the blocks of a page are one program
# Some blocks go on from another page.
codeautolink_global_preface = f"from skweight import {', '.join(skweight.__all__)}"

# HTML ---------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"skweight {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "github_url": REPOSITORY,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_exclude = ".linenos, .gp, .go"


def _copy_notebooks(app: Any) -> None:
    """Sphinx reads the pages of one folder, and notebooks lie with the examples."""
    for notebook in (DOCS.parent / "examples").glob("*.ipynb"):
        shutil.copy(notebook, DOCS / notebook.name)


def setup(app: Any) -> None:
    """Copy the notebooks before pages are read."""
    app.connect("builder-inited", _copy_notebooks)
