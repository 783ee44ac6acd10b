"""Files on disk that are written whole or not at all, and JSON fields that are checked as they are read."""
