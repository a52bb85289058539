"""Fits of one estimator under several sets of weights, and the standard errors that follow.

- ``replicates.py``: ``ReplicateEstimator``. Begin here.
- ``weight_columns.py``: replicate weights from arrays, tables or columns of X.
- ``factors.py``: what the squared deviation of each replicate is multiplied by.
- ``evaluation.py``: a function of the estimator on the full sample and on each replicate.
- ``result.py``: a statistic with its standard error.
- ``statistics.py``: statistics that are ready to use.
"""

from skweight.ensembles.replicates import ReplicateEstimator
from skweight.ensembles.result import ReplicateStatistic
from skweight.ensembles.statistics import GroupDifference, MarginalEffect, mean_prediction
