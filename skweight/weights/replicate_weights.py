"""Replicate weights of a survey, and what each replicate counts in a variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, as_real, did_you_mean, is_integer
from skweight.weights.sample_weight import as_float64, check_sample_weight

ReplicateMethod = Literal["bootstrap", "brr", "jk1", "jkn", "sdr"]
REPLICATE_METHODS: tuple[ReplicateMethod, ...] = ("bootstrap", "brr", "jk1", "jkn", "sdr")


@dataclass(frozen=True, eq=False, repr=False)
class ReplicateWeights:
    """Replicate weights of a survey, with what is needed to compute variances from them.

    If ``t`` is an estimate from the sample weights and ``t_r`` that from replicate r, the variance
    of the estimate is ``sum_r scale_r (t_r - t)^2``. :func:`~skweight.bootstrap_weights`,
    :func:`~skweight.jackknife_weights` and :func:`~skweight.brr_weights` make them;
    :class:`~skweight.ReplicateEstimator` uses them.

    Parameters
    ----------
    weights : array-like of shape (n_samples, n_replicates)
        The weight of each row in each replicate, which contains its sample weight: non-negative,
        with a positive one in each replicate.
    method : "bootstrap", "brr", "jk1", "jkn" or "sdr"
        How the replicates were made, see docs/surveys.md.
    scale : float or array-like of shape (n_replicates,)
        The factor of each replicate's squared deviation.
    degrees_of_freedom : int, default=None
        Degrees of freedom of the variance, for confidence intervals by Student's t: in most
        designs, clusters minus strata. None if unknown.

    Attributes
    ----------
    weights, scale : ndarray of float64
        Of shape (n_samples, n_replicates) and (n_replicates,).
    method, degrees_of_freedom
        As given.
    shape : tuple of int
        Number of rows and of replicates.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    ``np.asarray`` gives the weights, and ``len`` the number of rows. ``W[rows]`` are those of some
    rows, so that they can be split with X.

    Examples
    --------
    >>> from skweight import ReplicateWeights
    >>> ReplicateWeights([[0, 2], [2, 0]], method="jk1", scale=0.5)
    ReplicateWeights('jk1', 2 rows, 2 replicates, scale 0.5, unknown degrees of freedom)
    """

    weights: Floats
    method: ReplicateMethod
    scale: Floats
    degrees_of_freedom: int | None = None

    if TYPE_CHECKING:  # what is passed becomes the fields

        def __init__(
            self,
            weights: ArrayLike,
            method: ReplicateMethod,
            scale: ArrayLike,
            degrees_of_freedom: int | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        weights = as_float64(self.weights, "weights")
        if weights.ndim != 2 or not len(weights):
            raise ValueError(
                "weights must be 2-D with a row per row and a column per replicate, got shape "
                f"{weights.shape}."
            )
        if weights.shape[1] < 2:
            raise ValueError(
                f"weights must hold at least two replicates, got {weights.shape[1]} in shape "
                f"{weights.shape}."
            )
        scale = variance_factors(self.method, weights.shape[1], scale=self.scale)
        _check_columns(weights)
        df = self.degrees_of_freedom
        if df is not None and not is_integer(df, 1):
            raise ValueError(
                f"degrees_of_freedom must be None or an integer of at least 1, got {df!r}."
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "scale", scale)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of replicates."""
        n_rows, n_replicates = self.weights.shape
        return n_rows, n_replicates

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.weights)

    def __getitem__(self, rows: Any) -> ReplicateWeights:
        """The weights of some rows, as splitters of scikit-learn take them."""
        weights = self.weights[rows]
        return ReplicateWeights(weights, self.method, self.scale, self.degrees_of_freedom)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return self.weights.astype(dtype or np.float64)
        return self.weights if dtype is None else self.weights.astype(dtype, copy=False)

    def __repr__(self) -> str:
        n, n_replicates = self.weights.shape
        low, high = self.scale.min(), self.scale.max()
        scale = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
        df = "unknown" if self.degrees_of_freedom is None else self.degrees_of_freedom
        return (
            f"ReplicateWeights({self.method!r}, {n} rows, {n_replicates} replicates, "
            f"scale {scale}, {df} degrees of freedom)"
        )


def _check_columns(weights: Floats) -> None:
    """Refuse replicates whose weights could not be sample weights, by name."""
    with np.errstate(all="ignore"):
        totals = weights.sum(axis=0)
    if np.isfinite(totals).all() and (totals > 0).all() and (weights >= 0).all():
        return
    for column, weight in enumerate(weights.T):
        check_sample_weight(weight, len(weight), f"weights[:, {column}]")


def variance_factors(
    method: str, n_replicates: int, fay: float = 0.0, scale: Any = None, mse: bool = True
) -> Floats:
    """The factor of each replicate's squared deviation in the variance.

    With R replicates:

    - "bootstrap": ``1 / R`` about the estimate of all rows, ``1 / (R - 1)`` about the mean of
      the replicates [1]_.
    - "brr", balanced repeated replication: ``1 / R`` [2]_. With Fay's factor k, which leaves the
      weight ``k w`` to the half of the clusters that is left out and gives ``(2 - k) w`` to the
      other one, ``1 / (R (1 - k)^2)`` [3]_.
    - "jk1", the jackknife without strata, which leaves out a cluster at a time:
      ``(R - 1) / R`` [4]_.
    - "jkn", the jackknife with strata: ``(n_h - 1) / n_h`` where a cluster of stratum h is left
      out, which has n_h of them [4]_. This has to be passed as ``scale``.
    - "sdr", successive differences: ``4 / R`` [5]_.

    Parameters
    ----------
    method : "bootstrap", "brr", "jk1", "jkn" or "sdr"
        How the replicates were made.
    n_replicates : int
        R, at least 2.
    fay : float, default=0
        Fay's factor k in [0, 1), for "brr" only.
    scale : float or array-like of shape (n_replicates,), default=None
        Takes the place of the formula of any method.
    mse : bool, default=True
        Whether deviations are taken from the estimate of all rows, or from the mean of the
        replicates.

    Returns
    -------
    ndarray of shape (n_replicates,), float64
        To be multiplied by squared deviations and summed.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the method is "jkn" and scale is None.

    References
    ----------
    .. [1] J. N. K. Rao, C. F. J. Wu and K. Yue, Some recent work on resampling methods for complex
       surveys, Survey Methodology 18, 1992.
    .. [2] P. J. McCarthy, Replication: an approach to the analysis of data from complex surveys,
       Vital and Health Statistics 2(14), 1966; Pseudo-replication: half samples, Review of the
       International Statistical Institute 37, 1969.
    .. [3] D. R. Judkins, Fay's method for variance estimation, Journal of Official Statistics 6,
       1990.
    .. [4] K. M. Wolter, Introduction to Variance Estimation, Springer, 2nd edition 2007, chapter 4.
    .. [5] R. E. Fay and G. F. Train, Aspects of survey and model-based postcensal estimation of
       income and poverty characteristics for states and counties, Proceedings of the Section on
       Government Statistics, American Statistical Association, 1995.

    Examples
    --------
    >>> from skweight.weights import variance_factors
    >>> variance_factors("brr", 4, fay=0.5)
    array([1., 1., 1., 1.])
    """
    _check_method(method, fay)
    if not is_integer(n_replicates, 2):
        raise ValueError(f"n_replicates must be an integer of at least 2, got {n_replicates!r}.")
    n = int(n_replicates)
    if scale is not None:
        return _check_scale(scale, n)
    if method == "jkn":
        raise ValueError(
            'scale must be given for method "jkn", got None: (n_h - 1) / n_h for each replicate, '
            "n_h the number of clusters in the stratum of the cluster that it leaves out."
        )
    factor = {
        "bootstrap": 1 / n if mse else 1 / (n - 1),
        "brr": 1 / (n * (1 - fay) ** 2),
        "jk1": (n - 1) / n,
        "sdr": 4 / n,
    }
    return np.full(n, factor[method])


def _check_method(method: str, fay: float) -> None:
    if not isinstance(method, str) or method not in REPLICATE_METHODS:
        hint = did_you_mean(str(method).lower(), REPLICATE_METHODS)
        raise ValueError(f"method must be one of {[*REPLICATE_METHODS]}, got {method!r}.{hint}")
    if not 0 <= as_real(fay) < 1:
        raise ValueError(f"fay must be a number in [0, 1), got {fay!r}.")
    if fay and method != "brr":
        raise ValueError(f'fay must be 0 unless method is "brr", got {fay!r} with {method!r}.')


def _check_scale(scale: ArrayLike, n_replicates: int) -> Floats:
    factors = as_float64(scale, "scale")
    if factors.ndim == 0:
        factors = np.full(n_replicates, factors)
    if factors.shape != (n_replicates,):
        raise ValueError(
            f"scale must be a number or hold one for each of the {n_replicates} replicates, got "
            f"shape {factors.shape}."
        )
    bad = ~np.isfinite(factors) | (factors < 0)
    if bad.any():
        raise ValueError(
            f"scale must be finite and non-negative, got {factors[bad][0]} for replicate "
            f"{bad.argmax()}."
        )
    return factors
