"""The training of several networks of one architecture at the same time.

- ``train.py``: ``train_together``, from plans to outcomes. Begin here.
- ``eligibility.py``: which trainings can be stacked, and how many models a stack should have.
- ``stack.py``: the training loop of a stack.
- ``networks.py``: several networks as one; ``layers.py``: its layers; ``products.py``: batched
  products, bit-identical to computing each model alone.
- ``batches.py``: batches of all models; ``steps.py``: losses, gradients and learning rates;
  ``direct.py``: steps without autograd.
"""

from skweight.stacks.eligibility import models_at_once
from skweight.stacks.layers import StackedLinear
from skweight.stacks.networks import NotStackable, StackedNetwork, structure
from skweight.stacks.products import choose_implementation
from skweight.stacks.stack import Stack
from skweight.stacks.train import Outcome, train_in_stacks, train_together
