"""Sphinx configuration of the site; CONTRIBUTING.md says how to build it."""

import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

from docutils import nodes  # noqa: E402
from sphinx import addnodes  # noqa: E402

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
for notebook in (DOCS.parent / "examples").glob("*.ipynb"):
    shutil.copy(notebook, DOCS / notebook.name)  # Sphinx reads the pages of one folder

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
NOT_LINKED = (nodes.reference, nodes.title, addnodes.pending_xref, addnodes.desc_signature)

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


def _link_pages(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings name a page as its file, docs/tables.md: on the site that is a link to it."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(``)?docs/(\w+)\.md(#[\w-]+)?(``)?", r":doc:`/\2`", line)


def _link_files(app: Any, docname: str, source: list[str]) -> None:
    """Links to files beside the pages lead to the repository, or to the page that includes them."""
    text = source[0].replace("](../CONTRIBUTING.md", "](contributing.md")
    text = re.sub(r"\]\(\.\./examples/(\w+\.ipynb)", r"](\1", text)
    source[0] = re.sub(r"\]\(\.\./([\w./-]+)", rf"]({REPOSITORY}/blob/main/\1", text)


def _link_names(app: Any, doctree: Any) -> None:
    """A public name in code font leads to its page, where a section names it first."""
    documented = {name: f"{package}.{name}" for package, names in PUBLIC.items() for name in names}
    linked = set()
    for literal in list(doctree.findall(nodes.literal)):
        first_word = re.match(r"\w*", literal.astext().removeprefix("skweight."))[0]
        name = documented.get(first_word)
        place = _ancestor(literal, nodes.section), name
        is_own_page = app.env.docname == f"api/{(name or '').rpartition('.')[2]}"
        if name is None or is_own_page or place in linked or _ancestor(literal, NOT_LINKED):
            continue
        linked.add(place)
        link = addnodes.pending_xref(
            "",
            literal.deepcopy(),
            refdoc=app.env.docname,
            refdomain="py",
            reftype="obj",
            reftarget=name,
        )
        literal.replace_self(link)


def _ancestor(node: Any, kind: Any) -> Any:
    """The nearest node of a kind around this one, or None."""
    while node is not None and not isinstance(node, kind):
        node = node.parent
    return node


def _leave_gallery(app: Any, docname: str, source: list[str]) -> None:
    """The gallery has links in its code already, which the extension for pages does not expect."""
    if docname.startswith("gallery/"):
        source[0] = f".. autolink-skip:: file\n\n{source[0]}"


def setup(app: Any) -> None:
    """Connect what makes links."""
    app.connect("source-read", _leave_gallery)
    app.connect("doctree-read", _link_names)
    app.connect("autodoc-process-docstring", _link_pages)
    app.connect("source-read", _link_files)
