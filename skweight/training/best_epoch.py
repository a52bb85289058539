"""Which epoch of a training is that of the network that was kept."""

from typing import Any


def best_epoch(net: Any) -> tuple[int, float] | None:
    """Number and validation loss of the epoch whose network early stopping kept.

    It is the first with the lowest loss, even if that is lower by less than ``tol``. None if no
    epoch has a validation loss, or if ``partial_fit`` has trained the network further.
    """
    validated = [epoch for epoch in net.history if "valid_loss" in epoch]
    if not validated or net.resume_state is not None:
        return None
    best = min(validated, key=lambda epoch: epoch["valid_loss"])
    return int(best["epoch"]), float(best["valid_loss"])
