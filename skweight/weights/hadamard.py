"""Hadamard matrices, whose rows of signs are orthogonal, as Sylvester and Paley construct them."""

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int8]


def hadamard_rows(n_rows: int) -> Signs:
    """Orthogonal rows of signs, shape (n_rows, order), each with as many 1 as -1.

    The order is the smallest multiple of 4 above ``n_rows`` for which the constructions of
    Sylvester and Paley give a matrix. Its row of ones is left out, so that every row sums to 0.

    References
    ----------
    R. E. A. C. Paley, On orthogonal matrices, Journal of Mathematics and Physics 12, 1933.
    """
    order = 4 * (n_rows // 4 + 1)
    while (matrix := _hadamard(order)) is None:
        order += 4  # 92 is the first order that they do not reach
    return np.asarray((matrix * matrix[0])[1 : n_rows + 1])


@lru_cache(maxsize=8)
def _hadamard(order: int) -> Signs | None:
    """A Hadamard matrix of this order, or None if no construction reaches it."""
    if order == 2:
        return np.array([[1, 1], [1, -1]], dtype=np.int8)
    if order % 4:
        return None
    if _prime_power(order - 1):
        return _paley_skew(order - 1)
    if (order // 2 - 1) % 4 == 1 and _prime_power(order // 2 - 1):
        return _paley_symmetric(order // 2 - 1)
    for factor in range(2, int(order**0.5) + 1):
        if order % factor == 0:
            left, right = _hadamard(factor), _hadamard(order // factor)
            if left is not None and right is not None:
                return np.kron(left, right)
    return None


def _paley_skew(q: int) -> Signs:
    """Paley's first construction, of order q + 1, for a prime power q = 3 mod 4."""
    ones = np.ones(q, dtype=np.int8)
    bordered = np.block([[np.zeros((1, 1), np.int8), ones[None]], [-ones[:, None], _jacobsthal(q)]])
    return np.asarray(bordered + np.eye(q + 1, dtype=np.int8))


def _paley_symmetric(q: int) -> Signs:
    """Paley's second construction, of order 2 (q + 1), for a prime power q = 1 mod 4."""
    ones = np.ones(q, dtype=np.int8)
    bordered = np.block([[np.zeros((1, 1), np.int8), ones[None]], [ones[:, None], _jacobsthal(q)]])
    unit = np.eye(q + 1, dtype=np.int8)
    on, off = np.array([[1, 1], [1, -1]], np.int8), np.array([[1, -1], [-1, -1]], np.int8)
    return np.asarray(np.kron(bordered, on) + np.kron(unit, off))


def _jacobsthal(q: int) -> Signs:
    """Whether the difference of two elements of the field of order q is a square: 1, -1, or 0."""
    prime, degree = _prime_power(q) or (q, 1)
    powers = prime ** np.arange(degree)
    elements = np.arange(q)[:, None] // powers % prime
    character = np.zeros(q, dtype=np.int8)
    character[np.array(_powers_of_generator(prime, degree)) @ powers] = np.tile([1, -1], q // 2)
    difference = (elements[:, None] - elements[None]) % prime @ powers
    return np.asarray(character[difference])


def _powers_of_generator(prime: int, degree: int) -> list[tuple[int, ...]]:
    """All elements but 0 of the field, each the one before times a generator; squares at even ones.

    Elements are polynomials in the generator x, and ``rule`` is x to the power of ``degree``. A
    rule under which the powers of x reach all elements but 0 makes these a field.
    """
    one = (1, *[0] * (degree - 1))
    for rule in product(range(prime), repeat=degree):
        powers = [one]
        while len(powers) < prime**degree:
            *low, top = powers[-1]
            following = tuple((a + top * b) % prime for a, b in zip([0, *low], rule))
            if following == one or not any(following):
                break
            powers.append(following)
        if len(powers) == prime**degree - 1 and following == one:
            return powers
    raise AssertionError("every finite field has a generator")


def _prime_power(q: int) -> tuple[int, int] | None:
    """The prime and the exponent if q is the power of an odd prime."""
    prime = next((p for p in range(3, int(q**0.5) + 1, 2) if q % p == 0), q)
    exponent = 1
    while prime**exponent < q:
        exponent += 1
    return (prime, exponent) if q > 2 and q % 2 and prime**exponent == q else None
