"""Plain tables, curves and points on paper and screen. It draws the numbers it is given and computes nothing.

`text` makes any text safe; `page` lays out a page of results as text, `markup` as HTML; `figures` draws panels with matplotlib;
`progress`, imported by whoever wants it, says on the terminal how far something has come.
"""

from squarely.show.figures import Curve, Panel, Points, draw, save
from squarely.show.page import Page, Pairs, Table
from squarely.show.text import safe

__all__ = ["Curve", "Page", "Pairs", "Panel", "Points", "Table", "draw", "safe", "save"]
