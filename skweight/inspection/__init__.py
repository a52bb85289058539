"""Looking at weights, a training, and what a network says: tables and pictures with weights.

- ``calibration.py``: predicted probabilities beside what was observed.

Displays, in the style of scikit-learn's, need matplotlib, and read estimators by their public
attributes:

- ``weight_display.py``: how uneven weights are, and their share by class.
- ``training_curve.py``: the losses of the epochs of a fit.
- ``calibration_display.py``: the table of ``calibration.py`` as a picture.
- ``weight_search_display.py``: the scores of a search, and precision and recall of its settings.
- ``feature_weight_display.py``: the weights of the features.
- ``labels.py``: labels as positions among the classes of an estimator.
- ``setting_names.py``: names of the settings of a search.
- ``plotting.py``: axes and colours, which all of them share.
"""

from skweight.inspection.calibration import CalibrationTable, calibration_table
from skweight.inspection.calibration_display import CalibrationDisplay
from skweight.inspection.feature_weight_display import FeatureWeightDisplay
from skweight.inspection.training_curve import TrainingCurveDisplay
from skweight.inspection.weight_display import WeightDisplay
from skweight.inspection.weight_search_display import WeightSearchDisplay

__all__ = [
    "CalibrationDisplay",
    "CalibrationTable",
    "FeatureWeightDisplay",
    "TrainingCurveDisplay",
    "WeightDisplay",
    "WeightSearchDisplay",
    "calibration_table",
]


def __dir__() -> list[str]:
    """What is public."""
    return __all__
