"""The training of several networks of one architecture as one."""

from skweight.stacks.eligibility import models_at_once
from skweight.stacks.networks import NotStackable
from skweight.stacks.stack import train_together

__all__ = ["NotStackable", "models_at_once", "train_together"]
