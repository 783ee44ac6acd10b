"""The part of a script that holds out rows to validate on: a fraction of the file, or the rows of another one."""

from __future__ import annotations

from dataclasses import replace

from squarely.data import Source, SplitSource
from squarely.descent.codegen.rows import ColumnUses, file_of, numeric_use, read_code

_BLOCKS = """\
generator = np.random.PCG64({seeds})
held_out = np.zeros(len(rows), dtype=bool)
for start in range(0, len(rows), {block}):  # each block gives its fraction
    draws = generator.random_raw(min({block}, len(rows) - start))
    number = ({count} * (start + len(draws)) + len(rows) // 2) // len(rows) - held_out.sum()
    held_out[start + np.argsort(draws)[:number]] = True"""


def held_out_code(source: Source, validation: Source | None, uses: ColumnUses, *, typed: bool) -> list[str]:
    """Write the statements that make `held_out`, a boolean array with one value for each row of the frame `rows`."""
    if isinstance(source, SplitSource):
        return _draw_code(source, typed=typed)
    if validation is None:
        return []
    # A boolean column may be numeric in the other rows, and the other way round: each is read as it is there, as the fit does.
    adapted = {
        name: (numeric_use(validation, name),) if kinds in (("truth",), ("number",)) else kinds
        for name, kinds in uses.by_column.items()
    }
    uses = replace(uses, by_column=adapted)
    file, comments = file_of(validation, uses, None, name="validation")
    return [
        "",
        "# The rows for validation, after those to train on.",
        *comments,
        "training = rows",
        *read_code(file, uses),
        "rows = pd.concat([training, rows], ignore_index=True)",
        "held_out = np.arange(len(rows)) >= len(training)",
    ]


def _draw_code(part: SplitSource, *, typed: bool) -> list[str]:
    drawn = part.draw
    n, count, seeds = drawn.rows, drawn.validation_rows, list(drawn.seeds)
    lines = [
        "",
        f"# {count:,} of the rows are held out for validation: those with the smallest random numbers.",
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
