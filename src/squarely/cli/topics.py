"""The pages of documentation that come with the package, for `squarely help`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from squarely.errors import InputError, suggest_name


def list_topics() -> dict[str, str]:
    """Return the topics with the titles of their pages."""
    return {page.name.removesuffix(".md"): _read(page).partition("\n")[0].lstrip("# ") for page in _find_pages()}


def read_topic(topic: str) -> str:
    """Return the page of a topic as Markdown.

    Raises
    ------
    InputError : there is no such page.
    """
    name = Path(topic).name.removesuffix(".md").casefold()
    pages = {page.name.removesuffix(".md"): page for page in _find_pages()}
    if name not in pages:
        raise InputError(f"There is no help on {topic!r}. {suggest_name(name, pages, 'squarely help lists the topics.')}")
    return _read(pages[name])


def _find_pages() -> list[Any]:
    installed = files("squarely") / "docs"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "docs"  # of an editable install
    return sorted((page for page in folder.iterdir() if page.name.endswith(".md")), key=lambda page: page.name)


def _read(page: Any) -> str:
    return str(page.read_text(encoding="utf-8"))
