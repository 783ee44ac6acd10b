"""Comments, blanks between values and line numbers, in texts that arrive in pieces of any size."""

import csv
import io

import numpy as np
import pytest

from squarely.data.files.csv.text.line_filter import Quotes, iter_lines, remove_comments, squeeze_blanks

CELLS = ["1", "2.5", "ab", '"a b"', '"x\ty"', '"a\nb"', '"q""r"', '5"', '"#"']


def parse(text, delimiter=","):
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("seed", range(40))
def test_the_rows_are_those_that_were_written(seed):
    """Expected: the cells, as Python's csv module reads them."""
    rng = np.random.default_rng(seed)

    def choose(values):
        return values[rng.integers(len(values))]

    rows = [[choose(CELLS) for _ in range(3)] for _ in range(rng.integers(1, 10))]
    cells = [[cell[1:-1].replace('""', '"') if cell[0] == '"' else cell for cell in row] for row in rows]
    end, size = choose(["\n", "\r\n", "\r"]), int(rng.integers(1, 20))
    last = choose(["", end])

    def pieces(lines):
        text = end.join(lines) + last
        return [text[i : i + size] for i in range(0, len(text), size)]

    blanks = [" ", "  ", "\t", " \t "]
    lines = [choose(["", *blanks]) + choose(blanks).join(row) + choose(["", *blanks]) for row in rows]
    assert parse("".join(squeeze_blanks(pieces(lines), Quotes('"', " \t"))), "\t") == cells
    lines = []
    for row in rows:
        lines += [choose(["# x", '#"', "  # 'a"])] * int(rng.integers(3))
        lines.append(",".join(row) + choose(["", '#,1"']))
    assert parse("".join(remove_comments(pieces(lines), "#", Quotes()))) == cells
    text = "".join(pieces(lines))
    assert list(iter_lines(pieces(lines))) == list(io.StringIO(text, newline=""))
