"""Comments, blanks between values and line numbers, in texts that arrive in pieces of any size."""

import csv
import io
import random

import pytest

from squarely.data.files.csv.line_filter import Quotes, iter_lines, remove_comments, squeeze_blanks

CELLS = ["1", "2.5", "ab", '"a b"', '"x\ty"', '"a\nb"', '"q""r"', '5"', '"#"']


def parse(text, delimiter=","):
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("seed", range(40))
def test_the_rows_are_those_that_were_written(seed):
    """Expected: the cells, as Python's csv module reads them."""
    random.seed(seed)
    rows = [[random.choice(CELLS) for _ in range(3)] for _ in range(random.randint(1, 9))]
    cells = [[cell[1:-1].replace('""', '"') if cell[0] == '"' else cell for cell in row] for row in rows]
    end, size = random.choice(["\n", "\r\n", "\r"]), random.randint(1, 20)
    last = random.choice(["", end])

    def pieces(lines):
        text = end.join(lines) + last
        return [text[i : i + size] for i in range(0, len(text), size)]

    blanks = [" ", "  ", "\t", " \t "]
    lines = [random.choice(["", *blanks]) + random.choice(blanks).join(row) + random.choice(["", *blanks]) for row in rows]
    assert parse("".join(squeeze_blanks(pieces(lines), Quotes('"', " \t"))), "\t") == cells
    lines = []
    for row in rows:
        lines += [random.choice(["# x", '#"', "  # 'a"])] * random.randint(0, 2)
        lines.append(",".join(row) + random.choice(["", '#,1"']))
    assert parse("".join(remove_comments(pieces(lines), "#", Quotes()))) == cells
    text = "".join(pieces(lines))
    assert list(iter_lines(pieces(lines))) == list(io.StringIO(text, newline=""))
