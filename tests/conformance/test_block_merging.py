"""Blocks of partitions merged where they are: the same bits as merged here, the same errors, and little that comes back."""

import pickle

import numpy as np
import pytest

from squarely.data.engines.partitions import merge_payloads, unpack_payload
from squarely.data.tree_reduce import block_size, leaves, reduce_all
from squarely.errors import DataError, FormulaError


def packed(done, failed=None):
    return pickle.dumps((done, failed))


@pytest.mark.parametrize("parts", [1, 2, 7, 64, 65, 300])
@pytest.mark.parametrize("size", [1, 2, 8, 64, 512])
def test_blocks_change_no_bit(parts, size):
    sums = list(np.random.default_rng(parts).normal(size=(parts, 50)) * 10.0 ** np.arange(50))
    here = reduce_all(leaves(sums), np.add, np.zeros(50))
    blocks = [map(packed, sums[first : first + size]) for first in range(0, parts, size)]
    there = [branch for block in blocks for branch in unpack_payload(merge_payloads(block, np.add))]
    assert reduce_all(there, np.add, np.zeros(50)).tolist() == here.tolist()
    assert sum(count for count, _ in there) == parts


def test_a_block_holds_few_outcomes_at_a_time():
    living = []

    class Held:
        def __init__(self):
            living.append(1)

        def __del__(self):
            living.pop()

    def payloads():
        for _ in range(1_000):
            assert len(living) < 12  # log2 of them
            yield packed(None)

    def held(_):
        return Held()

    assert len(reduce_all(leaves(map(held, payloads())), lambda a, b: Held(), None).__dict__) == 0


def test_the_first_error_in_the_order_of_parts_wins():
    errors = [packed(None, (kind, f"{kind} of a part")) for kind in ("FormulaError", "DataError")]
    with pytest.raises(FormulaError, match=r"^FormulaError of a part$"):
        unpack_payload(merge_payloads([packed(1), *errors, packed(2)], int.__add__))

    def refused(a, b):
        raise DataError("these two do not go together")

    with pytest.raises(DataError, match="these two do not go together"):
        unpack_payload(merge_payloads([packed(1), packed(2), *errors], refused))


def test_the_size_of_a_block_is_a_power_of_two_about_the_square_root():
    for parts in (64, 65, 1_000, 20_000, 10**6):
        size = block_size(parts)
        assert size & (size - 1) == 0
        assert size / 2 < parts**0.5 <= size
