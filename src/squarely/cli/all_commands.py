"""The application with every command: importing a file of `commands` adds its commands."""

from squarely.cli.commands import diagnostics, effects, hypotheses, influence, models, tables

app = models.app

__all__ = ["app", "diagnostics", "effects", "hypotheses", "influence", "tables"]
