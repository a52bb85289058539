"""The training of several networks of one architecture as one."""

from skweight.stacks.eligibility import models_at_once
from skweight.stacks.networks import NotStackable, StackedNetwork
from skweight.stacks.stack import Outcome, train_together

__all__ = ["NotStackable", "Outcome", "StackedNetwork", "models_at_once", "train_together"]
