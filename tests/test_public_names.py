"""What tools for interactive work find: types of public methods, and names to complete."""

import inspect
import typing

import pytest

import skweight
from skweight import inspection, losses

CLASSES = [
    found for name in skweight.__all__ if inspect.isclass(found := getattr(skweight, name))
] + [getattr(inspection, name) for name in inspection.__all__]


@pytest.mark.parametrize("public", CLASSES, ids=lambda public: public.__name__)
def test_types_of_public_methods_can_be_looked_up(public):
    methods = [
        method
        for _, method in inspect.getmembers(public, callable)
        if (getattr(method, "__module__", "") or "").startswith("skweight")
    ]
    for method in [public, *methods]:
        typing.get_type_hints(method)


def test_the_types_of_fit_are_those_that_it_has():
    hints = typing.get_type_hints(skweight.WeightedTorchClassifier.fit)
    assert "Self" in str(hints["return"]) and "X_val" in hints


@pytest.mark.parametrize("package", [losses, inspection])
def test_names_to_complete_are_public_objects(package):
    names = [name for name in dir(package) if not name.startswith("_")]
    assert len(names) > 6
    assert all(inspect.isclass(getattr(package, n)) or n == "calibration_table" for n in names)
    assert not {"RowLoss", "TOLERANCE", "plotting", "setting_names"} & {*names}
