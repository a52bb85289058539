"""The training of one network: plan, optimizer, epochs, early stopping, prediction."""

from skweight.training.average import WeightAverage
from skweight.training.defaults import resolve_early_stopping
from skweight.training.isolation import isolated_torch
from skweight.training.net import WeightedNet, on_cpu
from skweight.training.plan import Task, Training, TrainingOptions
from skweight.training.predict import predict
from skweight.training.run import finish, make_net, train
from skweight.training.stopping import divergence_error

__all__ = [
    "Task",
    "Training",
    "TrainingOptions",
    "WeightAverage",
    "WeightedNet",
    "divergence_error",
    "finish",
    "isolated_torch",
    "make_net",
    "on_cpu",
    "predict",
    "resolve_early_stopping",
    "train",
]
