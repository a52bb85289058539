"""What ``docs/routing.md`` says of other libraries, line by line."""

import pytest
from routing import SETTINGS, observed, rows_of, said

pytestmark = pytest.mark.clients
ROWS = rows_of("Other libraries")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_a_line_does_with_weights_is_what_the_page_says(row, setting):
    assert observed(row, setting) == said(row, setting)
