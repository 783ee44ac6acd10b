"""The estimates of absorbed fixed effects."""
