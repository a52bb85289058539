"""Labels that users pass to displays, as positions among the classes of an estimator."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweight.weights import as_numbers, fill_targets_without_weight, rows_with_weight


def codes_of_labels(estimator: Any, y: Any, sample_weight: Any, hint: str = "") -> NDArray[np.intp]:
    """The position of each label in ``classes_``; -1 in rows without weight for other labels."""
    y = as_numbers(y, "y") if hasattr(y, "detach") else y
    labels = np.asarray(fill_targets_without_weight(y, sample_weight, "y", all_rows=True))
    if labels.ndim != 1:
        raise ValueError(f"y must be 1-D with one label per row, got shape {labels.shape}.")
    classes = np.asarray(estimator.classes_)
    if labels.dtype.kind != classes.dtype.kind:
        labels = labels.astype(object)  # NumPy warns of strings that are compared with numbers
    found = np.full(len(labels), -1)
    for place, label in enumerate(classes.tolist() if labels.dtype == object else classes):
        found[labels == label] = place
    has_weight = rows_with_weight(sample_weight, len(found))
    unknown = (found < 0) if has_weight is None else (found < 0) & has_weight
    if unknown.any():
        place = int(unknown.argmax())
        raise ValueError(
            f"y must hold the classes of the estimator, {classes.tolist()}, got "
            f"{labels[[place]].tolist()[0]!r} at position {place}.{hint}"
        )
    return found


def place_of_label(classes: NDArray[Any], pos_label: Any) -> int:
    """The position of a label that the user names."""
    labels = classes.tolist()
    if np.ndim(pos_label) != 0 or pos_label not in labels:
        raise ValueError(f"pos_label must be one of {labels}, got {pos_label!r}.")
    return int(labels.index(pos_label))
