"""Adam and AdamW by their kernel, without the code of ``torch.optim`` around it.

The kernel is the same, and so are all numbers. What is saved is time: in each step, and once in a
process, since the first optimizer of ``torch.optim`` imports torch's compiler for about a second.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from numbers import Real
from operator import is_
from typing import Any

import torch
from torch import Tensor

from skweight._keywords import unwrap
from skweight.training.torch_internals import adam_, count_as_step, has_step_hooks

# Whether the weight decay of an optimizer is decoupled from the gradient.
_DECOUPLED = {torch.optim.AdamW: True, torch.optim.Adam: False}
# What torch's optimizers take for settings that are not given, apart from the weight decay.
_DEFAULTS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
_DECAY = {True: 1e-2, False: 0.0}
# Settings that ask for more than the kernel is called with here.
_MORE = ("amsgrad", "maximize", "differentiable", "capturable", "foreach")
_KNOWN = {"params", "fused", "weight_decay", *_DEFAULTS, *_MORE}


class FusedAdam:
    """Adam or AdamW on a CPU.

    Groups and state are those of torch's optimizers: either those of an optimizer, which then sees
    each step, or its own.

    Parameters
    ----------
    param_groups : list of dict
        Parameters with the settings of their steps. They are read at each step.
    state : dict
        For each parameter the number of its steps and its moments.
    decoupled : bool
        Whether the weight decay is that of AdamW.
    optimizer : torch.optim.Optimizer, default=None
        The optimizer whose groups and state these are.
    """

    def __init__(
        self,
        param_groups: list[dict[str, Any]],
        state: dict[Tensor, dict[str, Tensor]],
        decoupled: bool,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.param_groups = param_groups
        self.state = state
        self.decoupled = decoupled
        self.optimizer = optimizer
        self._last: dict[int, _State] = {}  # of the last step, by the identity of the group

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Compute the gradients by a function, which returns the loss, and make a step."""
        with torch.enable_grad():
            loss = closure()
        self.update()
        return loss

    def update(self) -> None:
        """Make a step with the gradients that the parameters have; without a graph."""
        for group in self.param_groups:
            self._update(group)
        if self.optimizer is not None:
            count_as_step(self.optimizer)

    def _update(self, group: dict[str, Any]) -> None:
        # As in torch, a parameter without a gradient is left as it is.
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        state = self._state_of(parameters, group)
        for step in state.different_steps:
            step += 1
        adam_(
            parameters,
            [parameter.grad for parameter in parameters],
            state.means,
            state.squares,
            state.steps,
            self.decoupled,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
        )

    def _state_of(self, parameters: list[Tensor], group: dict[str, Any]) -> "_State":
        """The state of some parameters of a group: nearly always the same ones as in the last step.

        If no optimizer sees them, those with as many steps share the tensor that counts them.
        """
        last = self._last.get(id(group))
        if last is not None and last.is_of(parameters):
            return last
        shared: dict[float, Tensor] = {}
        for parameter in parameters:
            state = self.state[parameter]
            is_new = not state
            if is_new:
                state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            if self.optimizer is None:  # a copy: others may share it that have no gradient now
                n_steps = 0.0 if is_new else state["step"].item()
                state["step"] = shared.setdefault(n_steps, state["step"].clone())
        found = self._last[id(group)] = _State(parameters, [self.state[p] for p in parameters])
        return found

    def forget(self) -> None:
        """Read the state anew in the next step: others have put other tensors there."""
        self._last.clear()

    def state_dict(self) -> dict[str, Any]:
        """Groups and state, with parameters by their number, as those of torch's optimizers."""
        numbers = {p: i for i, p in enumerate(_parameters(self.param_groups))}
        groups = [
            group | {"params": [numbers[p] for p in group["params"]]} for group in self.param_groups
        ]
        state = {
            numbers[parameter]: {**of, "step": of["step"].clone()}
            for parameter, of in self.state.items()
            if of
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with groups and state of this or of a torch optimizer."""
        parameters = [*_parameters(self.param_groups)]
        for group, given in zip(self.param_groups, state_dict["param_groups"]):
            group.update({name: value for name, value in given.items() if name != "params"})
        self.state.clear()
        self.forget()
        for number, state in state_dict["state"].items():
            self.state[parameters[number]] = dict(state)


class _State:
    """The state of several parameters as lists."""

    def __init__(self, parameters: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        self.parameters = parameters
        self.means = [state["exp_avg"] for state in states]
        self.squares = [state["exp_avg_sq"] for state in states]
        self.steps = [state["step"] for state in states]
        self.different_steps = [*{id(step): step for step in self.steps}.values()]

    def is_of(self, parameters: list[Tensor]) -> bool:
        """Whether this is the state of these parameters."""
        return len(parameters) == len(self.parameters) and all(
            map(is_, parameters, self.parameters)
        )


def _parameters(groups: Iterable[dict[str, Any]]) -> Iterable[Tensor]:
    for group in groups:
        yield from group["params"]


def fused_adam(optimizer: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> FusedAdam | None:
    """What an optimizer of torch would be made of; None if it may do more than the kernel.

    ``args`` and ``settings`` are those of skorch: groups of parameters, and keywords.
    """
    kind, keywords = unwrap(optimizer)
    settings = {**keywords, **settings}
    if kind not in _DECOUPLED or len(args) != 1 or settings.get("fused") is not True:
        return None
    decay = _DECAY[_DECOUPLED[kind]]
    groups = [{**_DEFAULTS, "weight_decay": decay, **settings, **group} for group in args[0]]
    for group in groups:
        group["params"] = [*group["params"]]
        if not ({*group} <= _KNOWN and _is_plain(group)):
            return None
    return FusedAdam(groups, defaultdict(dict), _DECOUPLED[kind])


def with_kernel(optimizer: Any) -> Any:
    """An optimizer that makes the steps of the given one by the kernel; itself if it cannot."""
    kind = type(optimizer)
    if kind not in _DECOUPLED or has_step_hooks(optimizer):
        return optimizer
    if not all(group["fused"] is True and _is_plain(group) for group in optimizer.param_groups):
        return optimizer
    return FusedAdam(optimizer.param_groups, optimizer.state, _DECOUPLED[kind], optimizer)


def _is_plain(group: dict[str, Any]) -> bool:
    """Whether torch would take these settings, and nothing but the kernel is asked for."""
    betas = group["betas"]
    numbers = (group["lr"], group["eps"], group["weight_decay"])
    return (
        isinstance(betas, (tuple, list))
        and len(betas) == 2
        and all(_is_number(beta) and 0 <= beta < 1 for beta in betas)
        and all(_is_number(number) and number >= 0 for number in numbers)
        and not any(group.get(name) for name in _MORE)
        and all(parameter.device.type == "cpu" for parameter in group["params"])
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
