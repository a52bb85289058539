"""The traits of torch's own losses, and of callables as far as they are known."""

from collections.abc import Callable
from dataclasses import replace
from inspect import isfunction
from typing import Any

from torch import nn
from torch.nn import functional as F

from skweight._keywords import unwrap
from skweight.losses.base import ClassLoss, TargetLoss, Traits

# Of losses of margins, no probability can be computed from the scores that minimise them.
_MARGIN = Traits(has_probabilities=False)
_MULTI_MARGIN = Traits(one_column_per_class=True, has_probabilities=False)
_LOG_PROBABILITIES = Traits(one_column_per_class=True, takes_log_probabilities=True, has_mean=True)
_SOFTMAX = Traits(one_column_per_class=True, has_mean=True)
_LOGITS = Traits(has_mean=True)

# Subclasses inherit the traits of these classes.
TORCH_LOSSES: dict[type | Callable[..., Any], Traits] = {
    nn.CrossEntropyLoss: _SOFTMAX,
    F.cross_entropy: _SOFTMAX,
    nn.BCEWithLogitsLoss: _LOGITS,
    F.binary_cross_entropy_with_logits: _LOGITS,
    nn.NLLLoss: _LOG_PROBABILITIES,
    F.nll_loss: _LOG_PROBABILITIES,
    nn.BCELoss: Traits(takes_probabilities=True),
    nn.MultiMarginLoss: _MULTI_MARGIN,
    F.multi_margin_loss: _MULTI_MARGIN,
    nn.SoftMarginLoss: _MARGIN,
    F.soft_margin_loss: _MARGIN,
    nn.HingeEmbeddingLoss: _MARGIN,
    F.hinge_embedding_loss: _MARGIN,
    # These two have no threshold in units of y, so that y can be standardised for them.
    nn.MSELoss: Traits(for_numbers=True, units="standardised", has_mean=True),
    nn.L1Loss: Traits(for_numbers=True, units="robust"),
    nn.HuberLoss: Traits(for_numbers=True),
    nn.SmoothL1Loss: Traits(for_numbers=True),
    nn.PoissonNLLLoss: Traits(
        for_numbers=True, units="mean_one", positive="non-negative", power=1.0, has_mean=True
    ),
}


def traits_of(criterion: Any) -> Traits:
    """Traits of the package's losses, of torch's, and of any other callable."""
    loss, keywords = unwrap(criterion)

    def given(name: str) -> Any:
        return keywords.get(name, getattr(loss, name, None))

    traits = (
        criterion.traits if isinstance(criterion, ClassLoss | TargetLoss) else _known_traits(loss)
    )
    if isinstance(loss, nn.Module) and criterion is not loss:
        # Inside of a partial it is a callable: y and the columns of scores are left as they are.
        traits = Traits(has_probabilities=traits.has_probabilities)
    if isinstance(loss, nn.PoissonNLLLoss) and not loss.log_input:
        # Its scores are the means themselves.
        traits = Traits(for_numbers=True, positive="non-negative")
    if given("label_smoothing"):
        traits = replace(traits, has_probabilities=False, has_mean=False)
    own_weights = [name for name in ("weight", "pos_weight") if given(name) is not None]
    return replace(traits, own_weight=own_weights[0]) if own_weights else traits


def _known_traits(loss: Any) -> Traits:
    keys = [loss] if isfunction(loss) else type(loss).__mro__
    return next((TORCH_LOSSES[key] for key in keys if key in TORCH_LOSSES), Traits())
