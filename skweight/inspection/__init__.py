"""Looking at what a network says: tables with weights.

- ``calibration.py``: predicted probabilities beside what was observed.
"""

from skweight.inspection.calibration import CalibrationTable, calibration_table
