"""The package itself: its layers, the cost of importing it, and documentation that is true."""
