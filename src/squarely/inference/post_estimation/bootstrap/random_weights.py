"""Random weights that are pure functions of a seed, the number of a draw and the key of a row or cluster: no cut changes them."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np

from squarely.errors import OptionError, show_value
from squarely.numerics import Array

_GOLDEN, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_HALF = np.uint64(32)  # bits of a number of 64 bits: it makes two draws
_POISSON = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(13)]) * 2.0**32  # beyond 12 nothing is left of 32 bits
_POISSON_LIMITS = np.rint(_POISSON[_POISSON < 2.0**32 - 0.5]).astype(np.uint32)
_WEBB = np.array([-math.sqrt(1.5), -1.0, -math.sqrt(0.5), math.sqrt(0.5), 1.0, math.sqrt(1.5)])
_WHOLE = re.compile(r"^(-?\d+)\.0+$")  # a whole number that another library writes as 1.0


def mix(values: np.ndarray) -> np.ndarray:
    """Mix the bits of numbers of 64 bits by splitmix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).

    >>> [hex(each) for each in mix(_GOLDEN * np.arange(1, 3, dtype=np.uint64)).tolist()]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    mixed = (values ^ (values >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    result: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return result


def uniform_bits(seed: int, draws: range, keys: np.ndarray) -> np.ndarray:
    """Return uniform numbers (d, m) of 32 bits for the keys (m,) of rows or clusters; the first of the draws is even."""
    key_of_seed = mix(np.array([seed], dtype=np.uint64) + _GOLDEN)
    states = mix(keys.astype(np.uint64) + key_of_seed)
    pairs = np.arange(draws.start // 2, (draws.stop + 1) // 2, dtype=np.uint64) + np.uint64(1)
    mixed = mix(states + (_GOLDEN * pairs)[:, None])
    bits = np.empty((2 * len(pairs), len(keys)), dtype=np.uint32)
    bits[::2] = mixed.astype(np.uint32)  # the lower half
    bits[1::2] = mixed >> _HALF
    return bits[: len(draws)]


def poisson(bits: np.ndarray) -> Array:
    """Return Poisson weights with a mean of one, by inversion."""
    counts = np.zeros(bits.shape, dtype=np.uint8)
    for limit in _POISSON_LIMITS:
        counts += bits >= limit
    return counts.astype(np.float64)


def rademacher(bits: np.ndarray) -> Array:
    """Return -1 or 1, each with probability 1/2."""
    return np.where(bits >> np.uint32(31), 1.0, -1.0)


def webb(bits: np.ndarray) -> Array:
    """Return one of the six values of Webb (2014, 2023, doi:10.1111/caje.12661), each with probability 1/6."""
    return np.asarray(_WEBB[(bits.astype(np.uint64) * np.uint64(6)) >> _HALF])


def keys_of_labels(labels: Iterable[Any]) -> np.ndarray:
    """Return a key of 64 bits for each label, by its text: 1, 1.0, "1" and "1.0" have the same."""
    texts = (re.sub(_WHOLE, r"\1", str(each)) for each in labels)
    digests = b"".join(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def read_count(name: str, value: object, *, least: int, usual: int) -> int:
    """Return a whole number of at least `least` and below 2^63, or raise an OptionError that names the option."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) < 2**63:
        raise OptionError(
            f"{name}={show_value(value)} is not a whole number of at least {least}. Write for example {name}={usual}."
        )
    return int(value)
