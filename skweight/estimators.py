"""What the two estimators share: validation of X, the random seed, training, raw scores.

What a weight means, what a loss is and how a network is trained is decided on lower
levels; labels, targets and predictions are left to ``classifier`` and ``regressor``.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from skweight.criteria import RowLoss
from skweight.data import Rows, as_array, canonical_csr, split_validation
from skweight.keywords import check_keywords
from skweight.layers import feature_weights
from skweight.modules import build_module
from skweight.parameters import PrefixedParameters
from skweight.prediction import predict
from skweight.training import TrainingOptions, WeightedNet, on_cpu, train

# One kernel for all parameters instead of a loop over them in Python.
_default_optimizer = partial(torch.optim.AdamW, fused=True)


class WeightedTorchEstimator(PrefixedParameters):
    """Validation, training and raw scores: what the two estimators share."""

    net_: WeightedNet
    _given: dict[str, Any]  # module and module__* of the last fit

    def _validate(self, X: Any, **kwargs: Any) -> Any:
        """X as C-ordered float32 or canonical CSR, checked as scikit-learn does; y beside it."""
        if "y" in kwargs:
            kwargs["y"] = as_array(kwargs["y"])
        checked = validate_data(
            self, as_array(X), accept_sparse="csr", dtype=np.float32, order="C", **kwargs
        )
        if isinstance(checked, tuple):
            return canonical_csr(checked[0]), checked[1]
        return canonical_csr(checked)

    @property
    def _continues(self) -> bool:
        """Whether this fit goes on from the last one."""
        return bool(self.warm_start) and hasattr(self, "net_")

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _split(self, n_rows: int, seed: int, codes: NDArray[Any] | None = None) -> list[Any]:
        """Positions of the training rows and, with early stopping, of the validation rows."""
        if not self.early_stopping:
            return [np.arange(n_rows)]
        return list(split_validation(n_rows, self.validation_fraction, seed, codes))

    def _train(
        self,
        parts: list[Rows],
        criterion: RowLoss,
        seed: int,
        widths: tuple[int, ...],
        n_classes: int | None = None,
    ) -> WeightedNet:
        given = {"module": self.module, **self._params_for("module")}
        make_module: Callable[[], nn.Module] = partial(
            build_module,
            self.module,
            self.n_features_in_,
            widths[0],
            self._params_for("module"),
        )
        if self._continues:
            _check_same_network(self._given, given)
            make_module = partial(copy.deepcopy, self.net_.plain_module)
        net = train(
            make_module,
            criterion,
            parts[0],
            parts[1] if len(parts) > 1 else None,
            self._training_options(seed),
            widths=widths,
            n_classes=n_classes,
            adapt=not self._continues,
        )
        self._given = given
        return net

    def _training_options(self, seed: int) -> TrainingOptions:
        optimizer = _default_optimizer if self.optimizer is None else self.optimizer
        optimizer_params = self._params_for("optimizer")
        # param_groups is skorch's: pairs of a pattern of parameter names and their settings.
        own = {k: v for k, v in optimizer_params.items() if k != "param_groups"} | {"lr": self.lr}
        check_keywords(optimizer, own, "optimizer")
        if "lr" in optimizer_params:
            raise ValueError(
                "The learning rate must be given as lr, got optimizer__lr="
                f"{optimizer_params['lr']!r} beside lr={self.lr!r}."
            )
        return TrainingOptions(
            optimizer=optimizer,
            optimizer_params=optimizer_params,
            lr=self.lr,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            patience=self.n_iter_no_change,
            tol=self.tol,
            seed=seed,
            callbacks=list(self.callbacks or []),
            verbose=int(self.verbose),
            compile=self.compile,
        )

    def _predict(
        self, X: Any, link: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> NDArray[np.float64]:
        """Raw scores of shape (n_samples, n_outputs), or what ``link`` makes of them."""
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        device = torch.device(self.net_.device)
        return np.asarray(predict(self.net_.module_, X, device, link).numpy())

    def __getstate__(self) -> dict[str, Any]:
        """Pickle a module that was given as an instance on the CPU, as ``net_`` does its own."""
        state = dict(super().__getstate__())
        if isinstance(self.module, nn.Module):
            state["module"] = on_cpu(self.module)
            if "_given" in state:
                state["_given"] = {**state["_given"], "module": state["module"]}
        return state

    def __sklearn_tags__(self) -> Any:
        """Sparse X is welcome: it is made dense batch by batch."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def module_(self) -> nn.Module:
        """The trained network."""
        return self.net_.plain_module

    @property
    def history_(self) -> Any:
        """What skorch recorded in each epoch; losses are weighted means."""
        return self.net_.history

    @property
    def n_iter_(self) -> int:
        """Number of epochs of the last fit."""
        return len(self.net_.history)

    @property
    def feature_weights_(self) -> NDArray[np.float32]:
        """Weights on the input features after the fit, if the network has such a layer."""
        weights = feature_weights(self.net_.plain_module, self.n_features_in_)
        if weights is None:
            raise AttributeError(
                "feature_weights_ needs a network with a FeatureWeight on its "
                f"{self.n_features_in_} inputs, such as module__feature_weights=1 gives."
            )
        return np.asarray(weights.detach().cpu().numpy())


def _check_same_network(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse a warm start that asks for another network than the one that it goes on with."""
    for name in before.keys() | now.keys():
        old: Any = before.get(name)
        new: Any = now.get(name)
        copies = isinstance(old, nn.Module) and type(old) is type(new)
        if not (old is new or copies or np.array_equal(old, new)):
            shown = name if name == "module" else f"module__{name}"
            raise ValueError(
                "warm_start=True goes on with the network of the last fit, so module and module__* "
                f"must stay as they were: {shown} was {old!r}, got {new!r} (None: not given)."
            )
