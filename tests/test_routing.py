"""What ``docs/routing.md`` says of scikit-learn's meta-estimators, line by line."""

import re
import warnings

import pytest
from routing import SETTINGS, SKLEARN_NAMES, observed, rows_of, said

ROWS = rows_of("scikit-learn")
# What a line warns of, by its beginning and the setting of routing.
WARNS = {
    ("CalibratedClassifierCV(pipe", "without"): "Pipeline does not appear to accept sample_weight",
    ("WeightSearchCV(net", "without"): "one by one.*overrides fit",  # as the recording one does
    ("WeightSearchCV(net", "with"): "one by one.*overrides fit",
}


def warned(row, setting):
    """Expect the warning of a row, if it has one."""
    found = [
        text for (line, when), text in WARNS.items() if row.line.startswith(line) and when == setting
    ]
    return pytest.warns(UserWarning, match=found[0]) if found else warnings.catch_warnings()


def test_the_page_has_the_rows_of_all_meta_estimators():
    assert len(ROWS) > 40
    assert {"Pipeline", "GridSearchCV", "RFE"} <= {row.clients[0] for row in ROWS}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_a_line_does_with_weights_is_what_the_page_says(row, setting):
    with warned(row, setting):
        assert observed(row, setting) == said(row, setting)


def regression_rows():
    """Rows that also hold for regressors: with that name of the client, if it is not on the page."""
    own = {row.clients[0] for row in ROWS}
    for row in ROWS:
        client = row.clients[0]
        regressor = re.sub("Classifier$", "Regressor", client)
        generic = regressor == client and "Classifier" not in client and "reg" not in row.line
        if generic or (regressor not in own and regressor in SKLEARN_NAMES):
            yield row


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("row", regression_rows(), ids=str)
def test_a_line_does_the_same_with_a_regressor(row, setting):
    with warned(row, setting):
        assert observed(row, setting, regression=True) == said(row, setting)
