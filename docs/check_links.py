"""Find links within the built site that lead nowhere, also to places on a page.

Run ``python docs/check_links.py build/site`` after the site was built. Needs only Python.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places on it that links can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to, and its own name."""
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.add(value)
            elif value and name in ("id", "name"):
                self.places.add(value)


def dead_links(site: Path) -> Iterator[str]:
    """``page: link`` for each link within the site that leads nowhere."""
    found = [path for path in sorted(site.rglob("*.html")) if path.parent != site / "_static"]
    pages = {path: Page(path.read_text()) for path in found}
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            is_page = target in pages
            if not target.exists() or (is_page and place and place not in pages[target].places):
                yield f"{path.relative_to(site)}: {link}"


def main() -> None:
    """Print dead links; exit with 1 if there are some."""
    site = Path(sys.argv[1]).resolve()
    if not (site / "index.html").exists():
        sys.exit(f"{site} has no index.html: build the site first.")
    found = [*dead_links(site)]
    print("\n".join([*found, f"{len(found)} dead links"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
