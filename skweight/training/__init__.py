"""The training of one network: plan, optimizer, epochs, early stopping, prediction."""

from skweight.training.average import WeightAverage
from skweight.training.defaults import resolve_early_stopping
from skweight.training.isolation import isolated_torch
from skweight.training.net import WeightedNet, on_cpu
from skweight.training.plan import Output, Training, TrainingOptions
from skweight.training.predict import predict
from skweight.training.run import finish, make_net, train
from skweight.training.stopping import EpochLosses, Patience, check_finite_losses, divergence_error

__all__ = [
    "EpochLosses",
    "Output",
    "Patience",
    "Training",
    "TrainingOptions",
    "WeightAverage",
    "WeightedNet",
    "check_finite_losses",
    "divergence_error",
    "finish",
    "isolated_torch",
    "make_net",
    "on_cpu",
    "predict",
    "resolve_early_stopping",
    "train",
]
