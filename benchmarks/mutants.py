"""How many small changes of the code the tests notice (mutation testing).

mutmut changes ``skweight/weights`` and ``skweight/losses`` in one place at a time, for example
``<`` to ``<=``, or a text to another one, and runs the tests that reach this place. It is noticed
if a test fails, or runs far longer than before; if all pass, it has survived. Which tests are run
is in ``[tool.mutmut]`` of pyproject.toml. Run::

    pip install mutmut==3.8.1
    OMP_NUM_THREADS=1 mutmut run --max-children 2    # hours on two cores; goes on where it stopped
    python benchmarks/mutants.py                     # this table
    python benchmarks/mutants.py --survivors         # and each change that survived
"""

import argparse
import ast
import difflib
import json
import re
from collections import Counter
from pathlib import Path

from side_by_side import print_table

ROOT = Path(__file__).parents[1] / "mutants"
SURVIVED = 0, 5, 33  # exit codes: tests passed, or none was run


def exit_codes(file: Path) -> dict[str, int | None]:
    """The exit code of the tests for each mutant of a file; None if they were not run."""
    return json.loads(Path(f"{file}.meta").read_text())["exit_code_by_key"]


def functions_in(file: Path) -> dict[str, list[str]]:
    """The lines of each function of a file with mutants, without its first."""
    source = file.read_text()
    lines = source.splitlines()
    return {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }


def changes(file: Path) -> list[tuple[str, list[str]]]:
    """The name of each mutant that survived, and the lines that it changes."""
    functions = functions_in(file)
    found = []
    for key, code in exit_codes(file).items():
        if code in SURVIVED:
            name = key.rpartition(".")[2]
            original = functions[re.sub(r"\d+$", "orig", name)]
            difference = difflib.unified_diff(original, functions[name], lineterm="", n=0)
            lines = [line for line in difference if not re.match(r"---|\+\+\+|@@", line)]
            found.append((name, lines))
    return found


def main() -> None:
    """Print the table, and the survivors if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--survivors", action="store_true", help="print what was changed, too")
    asked = parser.parse_args()
    rows, total = [], Counter[str]()
    files = sorted(Path(meta).with_suffix("") for meta in ROOT.rglob("*.py.meta"))
    for file in files:
        codes = exit_codes(file).values()
        counts = Counter("survived" if code in SURVIVED else "killed" for code in codes)
        if None in codes:
            raise SystemExit(f"{file.relative_to(ROOT)} has mutants that were not tried.")
        if not codes:
            continue
        total += counts
        rows.append((f"`{file.relative_to(ROOT / 'skweight')}`", counts))
    rows.append(("together", total))
    print_table(
        ("file", "changes", "noticed", "survived", "share noticed"),
        [
            (
                name,
                *(f"{n:,}" for n in (counts.total(), counts["killed"], counts["survived"])),
                f"{counts['killed'] / counts.total():.1%}",
            )
            for name, counts in rows
        ],
    )
    for file in files if asked.survivors else ():
        for name, lines in changes(file):
            print(f"\n{file.relative_to(ROOT)}: {name}", *lines, sep="\n")


if __name__ == "__main__":
    main()
