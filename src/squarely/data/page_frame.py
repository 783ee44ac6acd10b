"""A DataFrame that shows itself as a page: what `squarely.anova` returns. It is a file because it needs pandas when imported."""

from __future__ import annotations

from typing import Any

import pandas as pd


class PageFrame(pd.DataFrame):
    """A DataFrame with a page. Its parts and copies are plain DataFrames."""

    _metadata = ["page"]  # noqa: RUF012  # pandas reads this list

    def summary(self) -> Any:
        """Return the page, which has a title and notes."""
        return self.page

    def as_dict(self) -> dict[str, Any]:
        """Return title, rows and notes as plain Python values."""
        rows = [{"name": str(name), **row} for name, row in zip(self.index, self.to_dict("records"), strict=True)]
        return {"title": self.page.title, "table": rows, "notes": list(self.page.notes)}

    def __repr__(self) -> str:
        return repr(self.page)

    def _repr_html_(self) -> str:
        return str(self.page._repr_html_())
