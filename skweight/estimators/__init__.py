"""The scikit-learn estimators, and the plan of a fit."""

from skweight.estimators.annotations import Weighting
from skweight.estimators.class_task import ClassTask, Labels, is_fixed
from skweight.estimators.classifier import WeightedTorchClassifier
from skweight.estimators.documentation import doc_link_template
from skweight.estimators.epochs import observing, shown
from skweight.estimators.estimator import TorchEstimator, begin_tasks
from skweight.estimators.members import FitPlan
from skweight.estimators.overrides import overrides
from skweight.estimators.parameters import ALLOWED
from skweight.estimators.planning import FitData, draw_seed, plan
from skweight.estimators.regressor import WeightedTorchRegressor
from skweight.estimators.replicates import plan_replicate
from skweight.estimators.sklearn_callbacks import FitTasks, callbacks_of, within_callbacks
from skweight.estimators.skops_types import skops_types
from skweight.estimators.tables import have_same_codes
