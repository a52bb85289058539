"""Links of the site that its sources do not write: files, pages, and names of the API."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes

NOT_LINKED = (nodes.reference, nodes.title, addnodes.pending_xref, addnodes.desc_signature)


def _link_pages(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings name a page as its file, docs/tables.md: on the site that is a link to it."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(``)?docs/(\w+)\.md(#[\w-]+)?(``)?", r":doc:`/\2`", line)


def _link_files(app: Any, docname: str, source: list[str]) -> None:
    """Links to files beside the pages lead to the repository, or to the page that includes them."""
    repository = app.config.html_theme_options["github_url"]
    text = source[0].replace("](../CONTRIBUTING.md", "](contributing.md")
    text = re.sub(r"\]\(\.\./examples/(\w+\.ipynb)", r"](\1", text)
    source[0] = re.sub(r"\]\(\.\./([\w./-]+)", rf"]({repository}/blob/main/\1", text)


def _link_names(app: Any, doctree: Any) -> None:
    """A public name in code font leads to its page, where a section names it first."""
    documented = {page: name for name, page in app.config.autosummary_filename_map.items()}
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
