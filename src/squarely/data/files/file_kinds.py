"""Kinds of files: detected by their first bytes, or by the ending of the name; and what to do with a kind that is not read."""

from __future__ import annotations

import re
from pathlib import Path

# The endings of names, without one of `COMPRESSED` behind them.
SUFFIXES = {
    ".parquet": "Parquet", ".pq": "Parquet",
    ".arrow": "Arrow", ".arrows": "Arrow", ".feather": "Arrow", ".ipc": "Arrow", ".orc": "ORC",
    ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON lines",
    ".csv": "CSV", ".tsv": "CSV",
    ".xlsx": "Excel", ".xlsm": "Excel", ".xlsb": "Excel", ".xls": "Excel", ".ods": "Excel",
    ".dta": "Stata", ".sav": "SPSS", ".zsav": "SPSS", ".por": "SPSS", ".sas7bdat": "SAS", ".xpt": "SAS",
}  # fmt: skip
COMPRESSED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".zstd", ".lz4")
_COMPRESSION = {  # the first bytes of compressed files
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip",  # an empty one
    b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4",
}  # fmt: skip
HEAD = 1024  # bytes that detect a kind

# The first bytes of kinds of file, whatever their names are; a CSV file may well have a first column called PAR1.
_MAGIC = {
    b"PAR1\x15": "Parquet", b"ARROW1\0\0": "Arrow", b"\xff\xff\xff\xff": "Arrow",  # the stream format: a continuation marker
    b"FEA1\0": "Feather version 1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "Excel",
    b"<stata_dta>": "Stata", b"$FL2@(#)": "SPSS", b"$FL3@(#)": "SPSS", b"HEADER RECORD*******LIB": "SAS",
    b"\0" * 12 + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf": "SAS",
    b"SQLite format 3\0": "SQLite", b"Obj\x01": "Avro", b"\x89HDF\r\n\x1a\n": "HDF5", b"MATLAB 5.0 MAT-file": "MATLAB",
    b"MATLAB 7.3 MAT-file": "MATLAB 7.3", b"\x93NUMPY": "NumPy", b"RDX2\nX\n": "RData", b"RDX3\nX\n": "RData", b"X\n\0\0\0": "RDS",
    b"%PDF-": "PDF", b"version https://git-lfs": "Git LFS",
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x1f\x9d": "compress",
    b"\0\1\0\0Standard ": "Access", b"\x89PNG": "picture", b"\xff\xd8\xff": "picture", b"GIF8": "picture",
    b"SR\0\x04": "IDL", b"\x7fELF": "program", b"MZ\x90\0": "program",
}  # fmt: skip
_PATTERNS = {  # where a text might begin with the same letters
    "DuckDB": re.compile(rb".{8}DUCK..\0{6}", re.DOTALL),
    "tar": re.compile(rb".{257}ustar(\x0000|  \0)", re.DOTALL),
    "ORC": re.compile(rb"ORC[^\0-\x08\x0e-\x1f]*[\0-\x08\x0e-\x1f]"),
    "Stata": re.compile(rb"[\x69\x6c\x6e\x6f\x71\x72\x73][\x01\x02]\x01\0"),
    "SPSS": re.compile(rb".{0,180}ASCII SPSS PORT FILE", re.DOTALL),
    "pickle": re.compile(rb"\x80[\x02-\x05][\x95\x8a\x8c\x63\x7d\x5d\x28\x4b\x58]"),
}
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_TEXT = {  # the beginning of a text, without a byte order mark and blanks
    "HTML": re.compile(rb"<!doctype html|<html|<head|<table", re.I),
    "XML": re.compile(rb"<\?xml", re.I),
    "GeoJSON": re.compile(rb'\{\s*"type"\s*:\s*"FeatureCollection"'),
    "notebook": re.compile(rb'\{\s*"(cells|nbformat(_minor)?)"\s*:'),
}
_LOAD = "Load it in Python with {call}, and pass that as the data"
ADVICE = {  # kind -> what it is, and how its rows can be read
    "Feather version 1": ("a file of Feather 1", _LOAD.format(call="pyarrow.feather.read_table({path})")),
    "SQLite": ("a SQLite database", _LOAD.format(call="pandas.read_sql('SELECT * FROM t', sqlite3.connect({path}))")),
    "DuckDB": ("a DuckDB database", _LOAD.format(call="duckdb.connect({path}, read_only=True).table('t')")),
    "Access": ("an Access database", "Export the table as CSV, or with: mdb-export {path} TABLE > table.csv"),
    "Avro": ("an Avro file", _LOAD.format(call="polars.read_avro({path})")),
    "HDF5": ("an HDF5 file", _LOAD.format(call="pandas.read_hdf({path})")),
    "MATLAB": ("a MATLAB file", _LOAD.format(call="scipy.io.loadmat({path})") + " as a dict of one-dimensional arrays"),
    "MATLAB 7.3": ("a MATLAB 7.3 file", "Read its arrays with h5py.File({path}), and pass a dict of one-dimensional arrays"),
    "NumPy": ("a NumPy file", "Load it with numpy.load({path}), and pass it as X= and y=, or each column in a dict"),
    "NumPy archive": ("an archive of NumPy arrays", _LOAD.format(call="dict(numpy.load({path}))")),
    "IDL": ("a file of IDL", "Read it with scipy.io.readsav({path}), and pass a dict of one-dimensional arrays"),
    "RDS": ("an R object", "Write it in R: write.csv(readRDS({path}), 'data.csv', row.names = FALSE)"),
    "RData": ("an R workspace", "Write a table of it in R: load({path}); write.csv(NAME, 'data.csv', row.names = FALSE)"),
    "pickle": ("a pickle", _LOAD.format(call="pandas.read_pickle({path})") + ", if you trust where it is from: a pickle runs code"),
    "PDF": ("a PDF document", "Copy its table into a spreadsheet, and save that as CSV"),
    "picture": ("a picture", "Give the file with the table itself"),
    "program": ("a program", "Give the file of a table"),
    "HTML": (
        "a web page (HTML)",
        "If it has the table, load it with pandas.read_html({path})[0]; else download the file itself, maybe after a login",
    ),
    "XML": ("an XML file", _LOAD.format(call="pandas.read_xml({path})") + ", or save it as CSV"),
    "GeoJSON": ("a GeoJSON file", _LOAD.format(call="geopandas.read_file({path}).drop(columns='geometry')")),
    "notebook": ("a Jupyter notebook", "Give the file with the table itself"),
    "Git LFS": ("a pointer of Git LFS, not the file itself", "Get the file with: git lfs pull"),
    "tar": ("a tar archive", "Unpack it with: tar -xf {path}"),
    "7z": ("a 7z archive", "Unpack it with: 7z x {path}"),
    "RAR": ("a RAR archive", "Unpack it with: unrar x {path}"),
    "compress": ("compressed by compress", "Unpack it with: uncompress {path}"),
    "Word": ("a Word document", "Copy its table into a spreadsheet, and save that as CSV"),
}


def named_kind(name: str) -> str | None:
    """Return the kind of file that a name says, None if the name says nothing.

    >>> named_kind("Cars.CSV.gz"), named_kind("part-0.parquet"), named_kind("notes.txt")
    ('CSV', 'Parquet', None)
    """
    return SUFFIXES.get(named_suffix(name))


def named_suffix(name: str) -> str:
    """Return the ending of a name in small letters, before that of a compressed file.

    >>> named_suffix("Cars.CSV.zip"), named_suffix("cars.zip")
    ('.csv', '')
    """
    name = name.lower()
    return Path(name.removesuffix(next((end for end in COMPRESSED if name.endswith(end)), ""))).suffix


def detect_kind(head: bytes) -> str | None:
    r"""Return the kind of a file by its first bytes, None if they may be those of a text with rows.

    >>> detect_kind(b"PAR1\x15\x04"), detect_kind(b"x,y\n1,2\n"), detect_kind(b" <!DOCTYPE html>")
    ('Parquet', None, 'HTML')
    """
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    for kind, pattern in _PATTERNS.items():
        if pattern.match(head):
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for kind, pattern in _TEXT.items() if pattern.match(text)), None)


def is_json(head: bytes) -> bool:
    """Return whether a text without a telling name begins as JSON.

    >>> is_json(b'{"x": 1}'), is_json(b'[ {"x": 1}]'), is_json(b"[x],y")
    (True, True, False)
    """
    return re.match(rb"(\xef\xbb\xbf)?\s*(\[\s*[{\[]|\{\s*\")", head) is not None


def detect_compression(head: bytes) -> str | None:
    """Return how a file is compressed, by its first bytes; a workbook is a zip file, too."""
    if _BZIP2.match(head):
        return "bz2"
    return next((name for magic, name in _COMPRESSION.items() if head.startswith(magic)), None)
