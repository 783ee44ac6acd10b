"""The learning rate against the limits that theory gives, and values that are not finite."""
