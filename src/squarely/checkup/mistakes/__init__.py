"""The texts of the mistakes that a checkup names, in families."""
