"""Results as text, HTML, figures and a progress line; nothing here computes results.

`escape_controls` makes any text safe to show. `Page` has tables and notes, for a terminal or a notebook. `draw` makes a figure of
panels with matplotlib. `new_progress` is a progress line on a terminal or in a notebook.
"""

from squarely.show.curve_marks import Contours, Curve, Level, Point
from squarely.show.page import Block, KeyValueTable, Page, Section, Table, terminal_width
from squarely.show.panels import Mark, Panel, draw, require_figure_file, save
from squarely.show.progress import Stage, new_progress
from squarely.show.statistical_marks import Band, Cells, Intervals, Labels
from squarely.show.text import cut_middle, escape_controls
