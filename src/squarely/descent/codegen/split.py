"""The part of a script that holds rows out to validate with: a share of the file, or the rows of another one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from squarely.data import Source, SplitSource
from squarely.descent.codegen.rows import Wanted, file_of, read

_BLOCKS = """\
generator = np.random.PCG64({seeds})
held_out = np.zeros(len(rows), dtype=bool)
for start in range(0, len(rows), {block}):  # block by block, of which each gives its part
    draws = generator.random_raw(min({block}, len(rows) - start))
    wanted = ({count} * (start + len(draws)) + len(rows) // 2) // len(rows) - held_out.sum()
    held_out[start + np.argsort(draws)[:wanted]] = True"""


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Rows that are not trained on, as far as a script has to know them.

    Attributes
    ----------
    source : where the rows are that are read first: those to train on, or all of them where a share is held out.
    other : where those to validate with are, if it is not there.
    part : those of the first that are trained on, if not all of them are.
    """

    source: Source
    other: Source | None
    part: SplitSource | None

    @property
    def any(self) -> bool:
        """Whether there are rows that are not trained on."""
        return self.other is not None or self.part is not None


def split_of(source: Source, validation: Source | None) -> Split:
    """Find out where the rows of a run come from."""
    if isinstance(source, SplitSource):
        return Split(source.parent, None, source)
    return Split(source, validation, None)


def held_out(split: Split, need: Wanted, *, typed: bool) -> list[str]:
    """Write the statements that make `held_out`, an array of truth values, one for each row of the frame `rows`."""
    if split.part is not None:
        return _drawn(split.part, typed=typed)
    return [] if split.other is None else _read(split.other, _as_held(need, split.other))


def _drawn(part: SplitSource, *, typed: bool) -> list[str]:
    drawn = part.draw
    n, count, seeds = drawn.rows, drawn.count(validation=True), list(drawn.seeds)
    lines = [
        "",
        f"# {count:,} of the rows are held out to validate with: those with the smallest random numbers.",
        *(["rows = rows.reset_index(drop=True)"] if typed else []),
        f"if len(rows) != {n}:",
        f'    raise SystemExit(f"The run split {n} rows, and here are {{len(rows)}}: the data differ.")',
    ]
    if n <= drawn.block:
        return [
            *lines,
            f"draws = np.random.PCG64({seeds}).random_raw(len(rows))",
            f"held_out = draws < np.sort(draws)[{count}]",
        ]
    return [*lines, *_BLOCKS.format(seeds=seeds, block=drawn.block, count=count).splitlines()]


def _read(other: Source, need: Wanted) -> list[str]:
    file, how = file_of(other, need, None, name="validation")
    return [
        "",
        "# The rows to validate with, which come after those to train on.",
        *how,
        "training = rows",
        *read(file, need),
        "rows = pd.concat([training, rows], ignore_index=True)",
        "held_out = np.arange(len(rows)) >= len(training)",
    ]


def _as_held(need: Wanted, source: Source) -> Wanted:
    """Read a column as what it holds here: truth values and numbers may stand for each other, as they do in the fit."""
    uses = dict(need.uses)
    for name, kinds in need.uses.items():
        if kinds in (("truth",), ("number",)):
            uses[name] = ("truth",) if source.kind(name) == "boolean" else ("number",)
    return replace(need, uses=uses)
