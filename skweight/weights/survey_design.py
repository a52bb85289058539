"""Replicate weights made from a design of strata and clusters.

Each replicate multiplies the weight of all rows of a cluster by one factor, so that what is
decided here are tables of factors with a row per cluster and a column per replicate. No sum runs
over rows: their order means nothing. Neither do weights of 0, whose clusters belong to the design.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweight._keywords import Floats, check_choice, is_integer, underflow_is_zero
from skweight.weights.hadamard import hadamard_rows
from skweight.weights.replicate_weights import (
    ReplicateMethod,
    ReplicateWeights,
    variance_factors,
)
from skweight.weights.sample_weight import check_sample_weight
from skweight.weights.survey_clusters import SurveyClusters, count_rows, find_clusters

SingleCluster = Literal["error", "center", "certainty"]
_SINGLE_CLUSTER: tuple[SingleCluster, ...] = ("error", "center", "certainty")


def bootstrap_weights(
    strata: ArrayLike | None,
    clusters: ArrayLike | None,
    sample_weight: ArrayLike | None,
    n_replicates: int = 200,
    random_state: Any = None,
    *,
    single_cluster: SingleCluster = "error",
) -> ReplicateWeights:
    """Replicate weights by the rescaled bootstrap of Rao, Wu and Yue, for any design of clusters.

    In each replicate, ``n_h - 1`` of the n_h clusters of each stratum h are drawn with replacement.
    The weight of a row is multiplied by ``n_h / (n_h - 1)`` times the number of draws of its
    cluster. For a total, the mean of the variance over all draws is that of
    :func:`jackknife_weights`.

    Parameters
    ----------
    strata : array-like of shape (n_samples,) or None
        The stratum of each row: labels of any dtype that can be sorted. None is one stratum.
    clusters : array-like of shape (n_samples,) or None
        The cluster of each row: the primary sampling unit. Clusters are within strata: the same
        label in two strata is two clusters. None makes each row a cluster.
    sample_weight : array-like of shape (n_samples,) or None
        Non-negative weights of the full sample. None is 1 for every row.
    n_replicates : int, default=200
        Number of replicates, at least 2. More make the standard errors less random.
    random_state : int, numpy Generator, RandomState or None, default=None
        Seed of the draws; an int gives the same draws in each call.
    single_cluster : "error", "center" or "certainty", default="error"
        What to do about a stratum with a single cluster, whose variance is unknown:

        - "error" raises a ValueError that names it.
        - "center" takes its deviation from the mean cluster of the sample instead of the mean of
          its stratum. With n clusters in the sample and ``c = sqrt((n - 1) / n)``, the weights of
          the cluster are multiplied by ``1 + c`` or ``1 - c``, each with probability 1/2, and those
          of all other rows by ``1 - c / (n - 1)`` or ``1 + c / (n - 1)``. That adds
          ``n / (n - 1)`` times the squared deviation of the cluster's total to the variance of a
          total, on average and up to a share of about ``m / n^2`` with m such strata.
        - "certainty" keeps its weights in each replicate, so that it adds no variance. This is for
          clusters that were in the sample with certainty, if sampling within them can be ignored.

    Returns
    -------
    ReplicateWeights
        Of method "bootstrap", with the scale ``1 / n_replicates`` and clusters minus strata
        degrees of freedom.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described or holds missing values, if strata have a single cluster,
        or if a replicate has no row with weight.

    Notes
    -----
    Clusters whose rows have weight 0 belong to the design. For standard errors about a part of the
    population, give the other rows weight 0 and do not leave them out.

    Clusters are drawn in the order of their labels, so that the order of rows means nothing, unless
    ``clusters`` is None.

    Clusters are treated as drawn with replacement, which overstates the variance if a large share
    of all clusters is in the sample.

    References
    ----------
    J. N. K. Rao, C. F. J. Wu and K. Yue, Some recent work on resampling methods for complex
    surveys, Survey Methodology 18, 1992.

    Examples
    --------
    >>> from skweight import bootstrap_weights
    >>> bootstrap_weights(["a", "a", "b", "b", "b"], None, [1, 2, 1, 1, 3], random_state=0)
    ReplicateWeights('bootstrap', 5 rows, 200 replicates, scale 0.005, 3 degrees of freedom)
    """
    design, weight = _check_design(strata, clusters, sample_weight, single_cluster)
    scale = variance_factors("bootstrap", n_replicates)
    draw = _generator(random_state)
    factors = np.ones((len(design.stratum), n_replicates))
    for h, size in enumerate(design.sizes):
        if size > 1:
            counts = draw.multinomial(size - 1, np.full(size, 1 / size), size=n_replicates)
            factors[design.stratum == h] *= counts.T * (size / (size - 1))
        elif single_cluster == "center":
            signs = draw.choice([-1, 1], size=n_replicates)
            factors *= _centred(signs, design.stratum == h)
    return _replicates(design, weight, factors, "bootstrap", scale)


def jackknife_weights(
    strata: ArrayLike | None,
    clusters: ArrayLike | None,
    sample_weight: ArrayLike | None,
    *,
    single_cluster: SingleCluster = "error",
) -> ReplicateWeights:
    """Replicate weights by the jackknife, which leaves out one cluster in each replicate.

    The weights of the cluster that is left out become 0, and those of the other clusters of its
    stratum are multiplied by ``n_h / (n_h - 1)``, where n_h is the number of clusters of the
    stratum. For a total, the variance is that of the usual formula,
    ``sum_h n_h / (n_h - 1) sum_i (z_hi - mean_h)^2``, where z_hi are the weighted totals of the
    clusters.

    Parameters
    ----------
    strata : array-like of shape (n_samples,) or None
        The stratum of each row: labels of any dtype that can be sorted. None is one stratum.
    clusters : array-like of shape (n_samples,) or None
        The cluster of each row: the primary sampling unit. Clusters are within strata: the same
        label in two strata is two clusters. None makes each row a cluster, with a
        replicate of its own.
    sample_weight : array-like of shape (n_samples,) or None
        Non-negative weights of the full sample. None is 1 for every row.
    single_cluster : "error", "center" or "certainty", default="error"
        What to do about a stratum with a single cluster, whose variance is unknown:

        - "error" raises a ValueError that names it.
        - "center" takes its deviation from the mean cluster of the sample instead of the mean of
          its stratum: its replicate multiplies the weights of all other rows by ``n / (n - 1)``,
          n the number of clusters of the sample, and is scaled by ``(n - 1) / n``. To the
          variance of a total that adds ``n / (n - 1)`` times the squared deviation of its total.
        - "certainty" makes no replicate for it, so that it adds no variance. This is for
          clusters that were in the sample with certainty, if sampling within them can be ignored.

    Returns
    -------
    ReplicateWeights
        A replicate for each cluster, by stratum and label. Of method "jk1", with the scale
        ``(n - 1) / n``, if there is one stratum, else of method "jkn", with the scale
        ``(n_h - 1) / n_h`` of each replicate. Degrees of freedom are clusters minus strata.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described or holds missing values, if strata have a single cluster,
        or if a replicate has no row with weight.

    Notes
    -----
    Clusters whose rows have weight 0 belong to the design. For standard errors about a part of the
    population, give the other rows weight 0 and do not leave them out.

    Clusters are treated as drawn with replacement, which overstates the variance if a large share
    of all clusters is in the sample. The jackknife is not suited to quantiles.

    References
    ----------
    K. M. Wolter, Introduction to Variance Estimation, Springer, 2nd edition 2007, chapter 4.

    Examples
    --------
    >>> from skweight import jackknife_weights
    >>> jackknife_weights(["a", "a", "b", "b", "b"], None, [1, 2, 1, 1, 3]).weights
    array([[0. , 2. , 1. , 1. , 1. ],
           [4. , 0. , 2. , 2. , 2. ],
           [1. , 1. , 0. , 1.5, 1.5],
           [1. , 1. , 1.5, 0. , 1.5],
           [3. , 3. , 4.5, 4.5, 0. ]])
    """
    design, weight = _check_design(strata, clusters, sample_weight, single_cluster)
    n, size = len(design.stratum), design.sizes[design.stratum]
    single = size == 1
    # Replicate j leaves out cluster j and weights up the clusters i that stand in for it: those of
    # its stratum, or all if it is the single one.
    together = (design.stratum[:, None] == design.stratum) | single
    size = np.where(single, n, size)
    factors = np.where(together, size / (size - 1), 1.0)
    np.fill_diagonal(factors, 0.0)
    made = ~single if single_cluster == "certainty" else np.ones(n, dtype=bool)
    method: ReplicateMethod = "jk1" if len(design.labels) == 1 else "jkn"
    scale = ((size - 1) / size)[made]
    return _replicates(design, weight, factors[:, made], method, scale)


def brr_weights(
    strata: ArrayLike | None,
    clusters: ArrayLike | None,
    sample_weight: ArrayLike | None,
    fay: float = 0.0,
    *,
    single_cluster: SingleCluster = "error",
) -> ReplicateWeights:
    """Replicate weights by balanced repeated replication, for two clusters in each stratum.

    Each replicate takes one cluster of each stratum: its weights are multiplied by ``2 - fay``,
    and those of the other one by ``fay``. A Hadamard matrix says which one, so that the replicates
    balance: for a total, the variance is exactly ``sum_h (z_h1 - z_h2)^2``, where z_h1 and z_h2 are
    the weighted totals of the clusters of stratum h, and the mean over replicates is the total of
    all rows.

    Parameters
    ----------
    strata : array-like of shape (n_samples,) or None
        The stratum of each row: labels of any dtype that can be sorted. None is one stratum.
    clusters : array-like of shape (n_samples,) or None
        The cluster of each row: the primary sampling unit. Clusters are within strata: the same
        label in two strata is two clusters. None makes each row a cluster.
    sample_weight : array-like of shape (n_samples,) or None
        Non-negative weights of the full sample. None is 1 for every row.
    fay : float, default=0
        Fay's factor, in [0, 1). With a positive one, such as 0.5, all rows keep some weight in
        each replicate, so that no class or category is lost; use it if classes are rare.
    single_cluster : "error", "center" or "certainty", default="error"
        What to do about a stratum with a single cluster, whose variance is unknown:

        - "error" raises a ValueError that names it.
        - "center" takes its deviation from the mean cluster of the sample instead of the mean of
          its stratum. With n clusters in the sample and ``c = (1 - fay) sqrt((n - 1) / n)``, the
          weights of the cluster are multiplied by ``1 + c`` or ``1 - c``, and those of all other
          rows by ``1 - c / (n - 1)`` or ``1 + c / (n - 1)``, as a row of the Hadamard matrix says.
          That adds ``n / (n - 1)`` times the squared deviation of the cluster's total to the
          variance of a total. The balance is no longer exact, but up to a share of about
          ``2 m / n`` with m such strata, so m should be small beside n. The other remedy is to give
          two similar strata of that kind one label.
        - "certainty" keeps its weights in each replicate, so that it adds no variance. This is for
          clusters that were in the sample with certainty, if sampling within them can be ignored.

    Returns
    -------
    ReplicateWeights
        Of method "brr", with the scale ``1 / (R (1 - fay)^2)``, R the number of replicates. Degrees
        of freedom are clusters minus strata.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described or holds missing values, if a stratum has not two
        clusters, or if a replicate has no row with weight.

    Notes
    -----
    R is the order of the Hadamard matrix: the smallest multiple of 4 above the number of strata for
    which the constructions of Sylvester and Paley give one (4, 8, 12, ... up to 88, then 96).
    The row of ones is never used. This is full orthogonal balance, as in the R package survey.
    Replicates of other software use the same method with other signs, so that estimates that are
    not linear have slightly different variances.

    Clusters whose rows have weight 0 belong to the design. For standard errors about a part of the
    population, give the other rows weight 0 and do not leave them out.

    References
    ----------
    P. J. McCarthy, Pseudo-replication: half samples, Review of the International Statistical
    Institute 37, 1969.

    D. R. Judkins, Fay's method for variance estimation, Journal of Official Statistics 6, 1990.

    Examples
    --------
    >>> from skweight import brr_weights
    >>> brr_weights(["a", "a", "b", "b"], None, [1, 2, 1, 3], fay=0.5).weights
    array([[0.5, 1.5, 0.5, 1.5],
           [3. , 1. , 3. , 1. ],
           [0.5, 1.5, 1.5, 0.5],
           [4.5, 1.5, 1.5, 4.5]])
    """
    variance_factors("brr", 4, fay)  # refuses a bad fay
    design, weight = _check_design(strata, clusters, sample_weight, single_cluster)
    many = design.sizes > 2
    if many.any():
        raise ValueError(
            "strata must have exactly two clusters each for balanced repeated replication, got "
            f"{design.sizes.max()} clusters at most, and more than two in stratum "
            f"{design.name_strata(many)}. Use jackknife_weights or bootstrap_weights instead."
        )
    signs = (1 - fay) * hadamard_rows(len(design.labels))
    factors = np.ones((len(design.stratum), signs.shape[1]))
    for h, size in enumerate(design.sizes):
        of_stratum = design.stratum == h
        if size == 2:
            factors[of_stratum] *= 1 + np.array([signs[h], -signs[h]])
        elif single_cluster == "center":
            factors *= _centred(signs[h], of_stratum)
    return _replicates(design, weight, factors, "brr", variance_factors("brr", len(signs[0]), fay))


def _check_design(
    strata: Any, clusters: Any, sample_weight: Any, single_cluster: str
) -> tuple[SurveyClusters, Floats]:
    """The clusters and the checked weights of the rows; refuses strata that have no variance."""
    check_choice(single_cluster, _SINGLE_CLUSTER, "single_cluster")
    n_rows = count_rows(sample_weight=sample_weight, strata=strata, clusters=clusters)
    weight = check_sample_weight(sample_weight, n_rows)
    design = find_clusters(strata, clusters, n_rows)
    single = design.sizes == 1
    if len(single) == 1 and single.all():
        name = "sample_weight" if clusters is None else "clusters"
        raise ValueError(f"{name} must hold at least two clusters, got one.")
    if single.all():
        raise ValueError(
            "strata must have at least two clusters in some stratum, got one in each of the "
            f"{len(single)} strata. Give similar strata one label."
        )
    if single.any() and single_cluster == "error":
        raise ValueError(
            "strata must have at least two clusters each, got a single one in stratum "
            f"{design.name_strata(single)}. Give similar strata one label, or pass "
            'single_cluster="center" or, for clusters that were certain to be in the sample, '
            '"certainty".'
        )
    return design, weight


def _generator(random_state: Any) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31)
    if is_integer(random_state, 0):
        return np.random.default_rng(int(random_state))
    if random_state is None or isinstance(random_state, np.random.Generator):
        return np.random.default_rng(random_state)
    raise ValueError(
        "random_state must be None, a non-negative integer, a numpy Generator or a RandomState, "
        f"got {random_state!r}."
    )


def _centred(signs: NDArray[Any], chosen: NDArray[np.bool_]) -> Floats:
    """Factors that move the chosen cluster by ``signs`` and keep the sum over all clusters.

    In this way a total moves by ``n / (n - 1)`` times the deviation of the cluster from the mean
    cluster, times sign and step. The step makes n / (n - 1) of its square, as in a stratum.
    """
    n = len(chosen)
    moved = signs * np.sqrt((n - 1) / n)
    return np.asarray(np.where(chosen[:, None], 1 + moved, 1 - moved / (n - 1)))


@underflow_is_zero
def _replicates(
    design: SurveyClusters,
    weight: Floats,
    factors: Floats,
    method: ReplicateMethod,
    scale: Floats,
) -> ReplicateWeights:
    """Multiply the weights of the rows by the factors of their clusters."""
    with np.errstate(over="ignore"):  # infinite weights are refused below
        weights = weight[:, None] * design.per_row(factors)
    degrees_of_freedom = len(design.stratum) - len(design.labels)
    return ReplicateWeights(weights, method, scale, degrees_of_freedom)
