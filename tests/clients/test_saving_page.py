"""The snippets of the page on saving run with skops, safetensors and onnx too."""

import re

import pytest
from helpers import ROOT
from test_docs import run

pytestmark = pytest.mark.clients


def test_the_snippets_of_the_page_on_saving_run_with_other_libraries(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "saving.md").read_text()
    snippets = re.findall(
        r"```python(?: skops| safetensors| onnx)?\n(.*?)```", page, flags=re.DOTALL
    )
    assert sum("skops" in snippet for snippet in snippets) == 1
    names = {}
    for snippet in snippets:
        run(snippet, "saving.md", names)
    assert (tmp_path / "model.onnx").exists() and names["probability"].std() > 0
    assert (tmp_path / "net.safetensors").exists() and hasattr(names["further"], "nets_")
    assert (tmp_path / "model.skops").exists() and names["row"].shape == (1, 2)
