"""The part of a script that holds rows out to validate with: a share of the file, or the rows of another one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from squarely.data import Source, SplitSource
from squarely.descent.codegen.rows import ColumnUses, file_of, read_code

_BLOCKS = """\
generator = np.random.PCG64({seeds})
held_out = np.zeros(len(rows), dtype=bool)
for start in range(0, len(rows), {block}):  # block by block, of which each gives its part
    draws = generator.random_raw(min({block}, len(rows) - start))
    wanted = ({count} * (start + len(draws)) + len(rows) // 2) // len(rows) - held_out.sum()
    held_out[start + np.argsort(draws)[:wanted]] = True"""


@dataclass(frozen=True, eq=False, slots=True)
class SplitCode:
    """Rows that are not trained on, as far as a script has to know them.

    Attributes
    ----------
    source : where the rows are that are read first: those to train on, or all of them where a share is held out.
    validation : where those to validate with are, if it is not there.
    split_source : those of the first that are trained on, if not all of them are.
    """

    source: Source
    validation: Source | None
    split_source: SplitSource | None

    @property
    def has_validation(self) -> bool:
        """Whether there are rows that are not trained on."""
        return self.validation is not None or self.split_source is not None


def split_of(source: Source, validation: Source | None) -> SplitCode:
    """Find out where the rows of a run come from."""
    if isinstance(source, SplitSource):
        return SplitCode(source.parent, None, source)
    return SplitCode(source, validation, None)


def validation_code(split: SplitCode, need: ColumnUses, *, typed: bool) -> list[str]:
    """Write the statements that make `validation_code`, an array of truth values, one for each row of the frame `rows`."""
    if split.split_source is not None:
        return _draw_code(split.split_source, typed=typed)
    return [] if split.validation is None else _read_validation_code(split.validation, _adapt_uses(need, split.validation))


def _draw_code(part: SplitSource, *, typed: bool) -> list[str]:
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


def _read_validation_code(other: Source, need: ColumnUses) -> list[str]:
    file, how = file_of(other, need, None, name="validation")
    return [
        "",
        "# The rows to validate with, which come after those to train on.",
        *how,
        "training = rows",
        *read_code(file, need),
        "rows = pd.concat([training, rows], ignore_index=True)",
        "held_out = np.arange(len(rows)) >= len(training)",
    ]


def _adapt_uses(need: ColumnUses, source: Source) -> ColumnUses:
    """Read a column as what it holds here: truth values and numbers may stand for each other, as they do in the fit."""
    uses = dict(need.uses)
    for name, kinds in need.uses.items():
        if kinds in (("truth",), ("number",)):
            uses[name] = ("truth",) if source.kind(name) == "boolean" else ("number",)
    return replace(need, uses=uses)
