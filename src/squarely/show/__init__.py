"""Plain tables, curves and points on paper and screen. It draws the numbers it is given and computes nothing.

`text` makes any text safe; `page` lays out a page of results as text, `markup` as HTML; `figures` draws panels with matplotlib;
`progress`, imported by whoever wants it, says on the terminal how far something has come.
"""

from squarely.show.figures import Curve, Panel, Points, draw, save
from squarely.show.page import KeyValueTable, Page, Table
from squarely.show.text import escape_controls

__all__ = ["Curve", "KeyValueTable", "Page", "Panel", "Points", "Table", "draw", "escape_controls", "save"]
