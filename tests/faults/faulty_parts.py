"""Parts of a fit that raise when they are told to, and the state of a process around a fit."""

import threading
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from skweight.training import isolated_torch

CPU = torch.device("cpu")
rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4)).astype(np.float32)
LABELS = (X[:, 0] + 0.3 * rng.normal(size=90) > 0).astype(int)
NUMBERS = X[:, 0] - X[:, 1] ** 2
WEIGHT = rng.uniform(0.5, 2, 90)
SETTINGS = {"max_epochs": 5, "batch_size": 30, "random_state": 0, "device": "cpu"}


class Fault:
    """Counts calls, and raises ``error`` in the call with the number ``at``."""

    def __init__(self):
        self.n_calls, self.at, self.error = 0, None, None

    def arm(self, at, error):
        self.n_calls, self.at, self.error = 0, at, error

    def disarm(self):
        self.n_calls, self.at, self.error = 0, None, None

    def call(self):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise self.error


fault = Fault()  # of all parts below


class RaisingCallback(Callback):
    def on_epoch_end(self, net, **kwargs):
        fault.call()


class RaisingBatchCallback(Callback):
    def on_batch_end(self, net, **kwargs):
        fault.call()


class RaisingForward(nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)

    def forward(self, X):
        fault.call()
        return super().forward(X)


class Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, X):
        return X.clone()

    @staticmethod
    def backward(ctx, gradient):
        fault.call()
        return gradient


class RaisingBackward(nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)

    def forward(self, X):
        return Identity.apply(super().forward(X))


def raising_criterion_of_numbers(output, target):
    fault.call()
    return (output.reshape(len(target)) - target.reshape(-1)) ** 2


def raising_criterion_of_classes(output, target):
    fault.call()
    target = target.to(output.dtype)
    return nn.functional.binary_cross_entropy_with_logits(
        output.reshape(len(target)), target.reshape(-1), reduction="none"
    )


def process_state():
    """What a fit may not change in its process."""
    name, keys, *others = np.random.get_state()
    return {
        "random state of torch": torch.get_rng_state().tolist(),
        "random state of numpy": (name, keys.tolist(), *others),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "filters of warnings": [*warnings.filters],
        "errors of numpy": np.geterr(),
    }


@contextmanager
def unusual_process_state():
    """A state other than the default one, in which a fit that forgets to restore it shows."""
    torch.set_default_dtype(torch.float64)
    random_state = torch.get_rng_state()
    torch.manual_seed(7)
    try:
        with torch.no_grad(), np.errstate(under="raise"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no such text")
            yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_rng_state(random_state)


def another_thread_can_fit():
    """Whether no lock is left behind by a fit of this thread."""

    def wait_for_lock():
        with isolated_torch(0, CPU):
            pass

    thread = threading.Thread(target=wait_for_lock, daemon=True)
    thread.start()
    thread.join(10)
    return not thread.is_alive()


def arrays_of(model):
    """All tensors of a fitted estimator, its units and what it predicts, as bytes."""
    found = [value for net in model.nets_ for value in net.module_.state_dict().values()]
    method = getattr(model, "predict_proba", model.predict)
    return [value.numpy().tobytes() for value in found] + [method(X).tobytes()]
