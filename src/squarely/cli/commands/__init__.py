"""The commands, by topic; each file adds its own to `models.app`."""
