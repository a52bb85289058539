"""README, documentation and examples do what they say."""

import ast
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"


def load_example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(snippet, name, names):
    """Run a snippet; a number that ends the comment beside an expression is its value."""
    lines = snippet.splitlines()
    for statement in ast.parse(snippet).body:
        source = "\n" * (statement.lineno - 1) + ast.get_source_segment(snippet, statement)
        stated = re.search(r"  # .*?([\d.]*\d)$", lines[statement.end_lineno - 1])
        if isinstance(statement, ast.Expr) and stated:
            digits = len(stated[1].partition(".")[2])
            value = eval(compile(source.strip(), name, "eval"), names)
            assert value == pytest.approx(float(stated[1]), abs=0.6 * 10**-digits), source.strip()
        else:
            exec(compile(source, name, "exec"), names)


def test_the_snippets_of_the_readme_run_one_after_the_other():
    snippets = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), flags=re.DOTALL)
    assert len(snippets) >= 3
    names = {"__name__": "readme"}
    for number, snippet in enumerate(snippets):
        run(snippet, f"README.md, snippet {number + 1}", names)
    assert names["search"].best_score_ > 0.7
    assert names["reg"].feature_weights_.shape == (10,)


def test_the_snippets_of_the_page_on_searches_run_one_after_the_other():
    page = ROOT / "docs" / "search.md"
    snippets = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    names = {"__name__": "search"}
    for number, snippet in enumerate(snippets):
        run(snippet, f"search.md, snippet {number + 1}", names)
    assert names["search"].stacked_.all() and len(names["precision"]) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_of_a_page_lead_to_files_that_exist(page):
    text = page.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    named = re.findall(r"(?:python|pytest)\s+((?:benchmarks|examples|tests)/\w+\.py)", text)
    named += re.findall(r"`(skweight/\w+\.py)`", text)
    assert links or named
    for link in links:
        assert (page.parent / link).exists(), link
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_numbers_of_the_page_on_speed_are_those_of_the_last_run():
    """Its rows and lines are rows and lines of the results, with columns left out."""
    page, results = (ROOT / "docs" / "speed.md").read_text(), RESULTS.read_text()
    ratios = dict(re.findall(r"^\| (`.*?) \|.*\| ([\d.]+) \|$", results, flags=re.MULTILINE))
    stated = dict(re.findall(r"^\| (`.*?) \| ([\d.]+) \|$", page, flags=re.MULTILINE))
    assert len(stated) >= 6 and stated.items() <= ratios.items()
    lines = re.findall(r"^- \d.*$", results, flags=re.MULTILINE)
    assert len(lines) >= 6 and set(re.findall(r"^- \d.*$", page, flags=re.MULTILINE)) <= {*lines}


@pytest.mark.parametrize("page", ["search", "defaults"])
def test_the_numbers_of_a_page_are_those_of_the_last_run(page):
    """But for the table that says in words what the defaults are."""
    text = (ROOT / "docs" / f"{page}.md").read_text().partition("## How it was chosen")
    rows = r"^\| .*\d.* \|$|^- \d.*MB$"
    stated = set(re.findall(rows, text[2] or text[0], flags=re.MULTILINE))
    measured = set(re.findall(rows, RESULTS.read_text(), flags=re.MULTILINE))
    assert len(stated) >= 20 and stated <= measured


def test_every_parameter_in_the_table_of_weights_exists():
    from skweight import WeightedTorchClassifier

    params = WeightedTorchClassifier().get_params()
    table = re.findall(r"^\| `(\w+)`", PAGES[0].read_text(), flags=re.MULTILINE)
    known = {"sample_weight", "module__feature_weights", *params}
    assert len(table) >= 5 and set(table) <= known


def test_the_weighted_network_of_the_crash_survey_tells_the_risk_of_the_population():
    survey = load_example("crash_survey")
    X, dead, weight, crash = survey.load()
    assert X.shape[0] == 26_217 and (weight == 0).sum() == 212
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        risks = survey.held_out_risks(X, dead, weight, crash)
    truth = 100 * np.average(dead, weights=weight)
    claimed = {name: 100 * np.average(risk, weights=weight) for name, risk in risks.items()}
    assert truth == pytest.approx(0.54, abs=0.005)
    assert abs(claimed["weighted"] - truth) < 0.1
    assert abs(claimed["unweighted"] - truth) > 0.8
    stated = re.search(
        r"claims\s+([\d.]+) deaths.*?unweighted one ([\d.]+)\.", PAGES[0].read_text()
    )
    assert claimed["weighted"] == pytest.approx(float(stated[1]), abs=0.02)
    assert claimed["unweighted"] == pytest.approx(float(stated[2]), abs=0.05)
