"""Searches over weight settings whose candidates are trained together."""

from skweight.search.search_cv import RandomizedWeightSearchCV, WeightSearchCV
