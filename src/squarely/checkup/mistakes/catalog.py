"""All mistakes by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from squarely.checkup.mistakes.evaluation import EVALUATION
from squarely.checkup.mistakes.gradient import GRADIENT
from squarely.checkup.mistakes.mistake import Mistake
from squarely.checkup.mistakes.rows import ROWS
from squarely.checkup.mistakes.update import UPDATE

MISTAKES: Mapping[str, Mistake] = MappingProxyType({mistake.key: mistake for mistake in (*GRADIENT, *UPDATE, *ROWS, *EVALUATION)})
