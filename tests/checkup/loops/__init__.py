"""Training loops: broken ones with the key of their mistake, and right ones."""
