"""Formats that a library reads whole: workbooks, and the files of statistics packages."""
