"""The application with every command: importing a file of `commands` adds its commands."""

from squarely.cli.commands import average_effects, certificate, checkup, diagnostics, hypotheses, influence, models, tables

app = models.app

__all__ = ["app", "average_effects", "certificate", "checkup", "diagnostics", "hypotheses", "influence", "tables"]
