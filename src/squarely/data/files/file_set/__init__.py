"""Several files as one table: patterns and folders, the order of their files, and key=value folders as columns."""
