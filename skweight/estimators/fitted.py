"""What a fitted estimator shows of its network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skweight.estimators.parameters import PrefixedParameters
from skweight.modules import input_feature_weights
from skweight.training import WeightedNet, on_cpu

# What the weights of a stream and the network that they train are made of.
_OF_A_STREAM = (
    "criterion",
    "class_weight",
    "class_weight_power",
    "logit_adjustment",
    "sample_weight_power",
)


class FittedNetwork(PrefixedParameters):
    """The trained skorch net of an estimator, and views of it."""

    net_: WeightedNet
    _given: dict[str, Any]  # what shaped the network and its weights, in the last fit

    def _shaping(self) -> dict[str, Any]:
        """Parameters that shape the network, and the loss and weights of a stream."""
        nested = {k: v for k, v in self._params.items() if k.startswith(("module_", "criterion_"))}
        own = {name: getattr(self, name, None) for name in ("module", *_OF_A_STREAM)}
        return own | nested

    def _check_unchanged(self, now: dict[str, Any], stream: bool) -> None:
        """Refuse a warm start or a stream that asks for something else than it goes on with."""
        before = self._given
        for name in before.keys() | now.keys():
            if not (stream or name.startswith("module")):
                continue
            old: Any = before.get(name)
            new: Any = now.get(name)
            copies = isinstance(old, nn.Module) and type(old) is type(new)
            if not (old is new or copies or _equal(old, new)):
                goes_on = "partial_fit" if stream else "warm_start=True"
                kept = "module, criterion and class weights" if stream else "module and module__*"
                raise ValueError(
                    f"{goes_on} goes on with the network of the last fit, so {kept} must stay as "
                    f"they were: {name} was {old!r}, got {new!r} (None: not given)."
                )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle a module that was given as an instance on the CPU, as ``net_`` does its own."""
        state = dict(super().__getstate__())
        if isinstance(self.module, nn.Module):
            state["module"] = on_cpu(self.module)
            if "_given" in state:
                state["_given"] = {**state["_given"], "module": state["module"]}
        return state

    @property
    def module_(self) -> nn.Module:
        """The trained network."""
        module: nn.Module = self.net_.module_
        return module

    @property
    def history_(self) -> Any:
        """What skorch recorded in each epoch; losses are weighted means."""
        return self.net_.history

    @property
    def n_iter_(self) -> int:
        """Number of epochs of the last fit, and of calls of ``partial_fit`` since."""
        return len(self.net_.history)

    @property
    def feature_weights_(self) -> NDArray[np.float32]:
        """Weights on the input features after the fit, if the network has such a layer."""
        weights = input_feature_weights(self.net_.module_, self.n_features_in_)
        if weights is None:
            raise AttributeError(
                "feature_weights_ needs a network with a FeatureWeight on its "
                f"{self.n_features_in_} inputs, such as module__feature_weights=1 gives."
            )
        return np.asarray(weights.detach().cpu().numpy())


def _equal(old: Any, new: Any) -> bool:
    try:
        return bool(old == new)
    except (ValueError, RuntimeError, TypeError):  # of arrays and tensors
        return np.array_equal(old, new)
