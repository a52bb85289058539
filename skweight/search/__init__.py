"""Searches over weight settings whose candidates are trained together.

- ``search_cv.py``: the two searches. Begin here.
- ``run.py``: one run of a search, from candidates to results.
- ``parts.py``: which part of an estimator is trained, and whether it has a fit of its own.
- ``trainings.py``, ``fits.py``: which fits are stacked, and in which process they are trained.
- ``folds.py``: the training rows of a split, transformed by a pipeline.
- ``design_folds.py``: the splitter that follows the design of a survey.
- ``stand_in.py``, ``callbacks.py``: what scikit-learn's search and its callbacks are given.
- ``predictions.py``: predictions for the held-out rows.
"""

from skweight.search.design_folds import DesignKFold
from skweight.search.search_cv import RandomizedWeightSearchCV, WeightSearchCV
