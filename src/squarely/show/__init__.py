"""Results as text, HTML, figures and a progress bar. This package draws the numbers that it is given and computes nothing.

`text` makes any text safe for a terminal, `page` lays out results as text and `html` as HTML, `figures` draws panels with
matplotlib, and `progress` shows on the terminal how far a scan is.
"""

from squarely.show.figures import Curve, Panel, Points, draw, save
from squarely.show.page import KeyValueTable, Page, Table
from squarely.show.progress import terminal_progress
from squarely.show.text import escape_controls

__all__ = ["Curve", "KeyValueTable", "Page", "Panel", "Points", "Table", "draw", "escape_controls", "save", "terminal_progress"]
