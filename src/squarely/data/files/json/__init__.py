"""JSON: objects on lines, arrays of objects, and numbers in quotes."""
