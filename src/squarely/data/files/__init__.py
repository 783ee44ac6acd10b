"""Kinds of files and their readers, the options of reading, and writing."""
