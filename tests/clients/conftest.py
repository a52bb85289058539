"""What other libraries warn of, which no line of ours can change."""

IGNORED = [
    # fairlearn 0.15 fills a pandas Series by .at; pandas 3.1 announces that it will refuse it.
    "ignore:Setting a value on a Series via .at with a key that does not exist",
    "ignore:Setting an item of incompatible dtype is deprecated",
    # shap 0.51 sets up its colour maps when it is imported, in a way that matplotlib 3.11 ends.
    "ignore:The set_(bad|over|under) function will be deprecated:PendingDeprecationWarning",
]


def pytest_configure(config):
    for line in IGNORED:
        config.addinivalue_line("filterwarnings", line)
