"""The file of a fit: written as JSON, and read with a check of each field."""
