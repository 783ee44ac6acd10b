"""The texts of a checkup: its verdict, and the page of its findings."""

from __future__ import annotations

import os
from collections.abc import Sequence

from squarely.errors import pluralize
from squarely.show import Page, Section, cut_middle

_SHOWN_LINES = 10  # of the output of a loop
_LONGEST_NAME = 60  # characters


def describe_verdict(target: str, findings: Sequence[tuple[str, str]], holds: int) -> str:
    """Say in one sentence what was found: `findings` has keys with their confidence.

    >>> describe_verdict("train", [], 14)
    'No mistake found in train; 14 checks hold.'
    >>> describe_verdict("train", [("no-zero-grad", "certain"), ("last-batch-loss", "likely")], 3)
    '2 findings in train: no-zero-grad (certain), last-batch-loss (likely).'
    >>> describe_verdict("train", [("lr-too-low", "possible")], 13)
    '1 finding in train, possible and not likely: lr-too-low. 13 checks hold.'
    """
    name = cut_middle(target, _LONGEST_NAME)
    checks = f"{pluralize(holds, 'check')} {'holds' if holds == 1 else 'hold'}"
    if not findings:
        return f"No mistake found in {name}{f'; {checks}' if holds else ''}."
    start = f"{pluralize(len(findings), 'finding')} in {name}"
    if all(confidence == "possible" for _, confidence in findings):
        return f"{start}, possible and not likely: {', '.join(key for key, _ in findings)}.{f' {checks}.' if holds else ''}"
    return f"{start}: {', '.join(f'{key} ({confidence})' for key, confidence in findings)}."


def make_page(
    target: str, verdict: str, findings: Sequence[Section], *, verified: Sequence[str], remarks: Sequence[str], output: str
) -> Page:
    """Make the page of a checkup: the verdict, a section for each finding, what holds, remarks, and the end of the output."""
    lists = {"Checks that hold": verified, "Remarks": remarks}
    sections = [Section(title, [("", sentence) for sentence in sentences]) for title, sentences in lists.items() if sentences]
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if findings and lines:
        which = f"last {_SHOWN_LINES} of {len(lines):,} lines" if len(lines) > _SHOWN_LINES else pluralize(len(lines), "line")
        shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])
        sections.append(Section(f"Output of the loop ({which})", [("", shown)]))
    footer = ["squarely help mistakes-in-loops shows each mistake with a loop that makes it."] if findings else []
    return Page(f"Checkup of {cut_middle(target, _LONGEST_NAME)}", [*findings, *sections], footer=footer, lead=[verdict])


def describe_place(file: str, line: int) -> str:
    """Name the place of a line: a path below the current folder is shortened, and a cell of a notebook has no path.

    >>> describe_place("/home/me/train.py", 12), describe_place("/tmp/ipykernel_81/277.py", 3)
    ('/home/me/train.py, line 12', 'line 3 of a notebook cell')
    """
    if "ipykernel_" in file or file.startswith("<ipython"):
        return f"line {line} of a notebook cell"
    below = file.removeprefix(os.path.join(os.getcwd(), ""))
    return f"{below}, line {line}"
