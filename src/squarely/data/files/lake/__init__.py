"""Lake tables: folders in which only a log tells which files, and which rows of them, belong to the table."""
