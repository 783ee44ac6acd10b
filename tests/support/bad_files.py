"""Bad files: what is wrong with a file or a folder as such, and encodings of text."""

import gzip

from tests.support.bad_row import LINE, NO_OBJECTS, ON_A_LINE, At, File, Files, Row


def with_another_checksum(packed: bytes) -> bytes:
    """Change a bit of the checksum of gzipped text."""
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]


FILES = [
    Row(
        name="an empty file",
        data=File(""),
        says="The file '<data>' is empty (0 bytes). Give a file with column names and rows.",
    ),
    Row(
        name="only blank lines",
        data=File("\n\n"),
        says="The first line of '<data>' is blank. Begin the file with a line of column names",
    ),
    Row(name="a blank first line", data=File("\nx,y\n" + LINE), says="The first line of '<data>' is blank."),
    Row(name="a first line of spaces", data=File("  \nx,y\n" + LINE), says="The first line of '<data>' is blank."),
    Row(
        name="a header and nothing else",
        data=File("x,y\n"),
        says="There are column names but no rows in <data>. Give at least 3 rows.",
    ),
    Row(
        name="one row for two coefficients",
        data=File("x,y\n1,2\n"),
        says="There is 1 complete row for 2 coefficients in <data>: nothing is left to measure the errors with.",
    ),
    Row(
        name="two rows for two coefficients",
        data=File("x,y\n1,2\n2,3\n"),
        says="There are 2 complete rows for 2 coefficients in <data>",
    ),
    Row(
        name="a line that is too short",
        data=File("x,y\n1,2\n3\n4,5,6\n"),
        says="line 3 has 1 field, and the header has 2. Correct that line",
    ),
    Row(
        name="quotes that a backslash escapes",
        data=File('x,y,t\n1,2,"a"\n2,3,"say \\"no\\""\n4,5,"b"\n'),
        says="a backslash escapes a quote in line 3, as MySQL writes it, and in CSV two quotes do. Load it in "
        "Python with pandas.read_csv(",
    ),
    Row(name="a line that is too long", data=File("x,y\n1,2\n2,3\n4,5,6\n"), says="line 4 has 3 fields, and the header has 2."),
    Row(
        name="a short line between semicolons",
        data=File("amount, EUR;x;y\n1;1;2\n2;3\n3;3;4\n"),
        says="line 3 has 2 fields, and the header has 3. Correct that line",
    ),
    Row(name="a header with one name too many", data=File("x,y,\n1,2\n2,3\n"), says="line 2 has 2 fields, and the header has 3."),
    Row(
        name="a title above the header",
        data=File("Sales of 2020\n\nx,y\n" + LINE),
        says="line 3 has 2 fields, and the header has 1.",
    ),
    Row(
        name="a comment above the header",
        data=File("# from the lab\nx,y\n" + LINE),
        says="line 2 has 2 fields, and the header has 1.",
    ),
    Row(name="no header", data=File(LINE), says="There is no column 'y' in <data>. Known names: '1', '2'."),
    Row(
        name="spaces between the columns",
        data=File("x y\n" + LINE.replace(",", " ")),
        params=ON_A_LINE,
    ),
    Row(
        name="a sep= line that is not true",
        data=File("sep=;\nx,y\n" + LINE),
        says="There is no column 'y' in <data>. Known names: 'x,y'. If these are several columns, give read={'delimiter': ','}.",
    ),
    Row(
        name="values in the first line",
        data=File("5.1,3.5\n4.9,3.0\n4.7,3.2\n4.6,3.1\n"),
        says="looks like data and not like names: 5.1, 3.5. Read it as a row with read={'header': False}",
    ),
    Row(
        name="a title above the header, with as many commas",
        data=File("Sales of 2020,\nx,y\n" + LINE),
        says="Known names: 'Sales of 2020', ''. If the names are in a later line, skip the lines before it",
    ),
    Row(
        name="a web page saved as CSV",
        data=File("<html><body>404</body></html>\n"),
        says="'<data>' is a web page (HTML). If it has the table, load it with pandas.read_html('<data>')[0]; else download the",
    ),
    Row(name="a quote that is not closed", data=File('x,y\n1,"2\n2,3\n3,5\n'), says="The file '<data>' cannot be read as CSV"),
    Row(name="text after a closing quote", data=File('x,y\n1,2\n2,"3"4\n3,5\n'), says="The file '<data>' cannot be read as CSV"),
    Row(name="a number with 200,000 digits", data=File("x,y\n1,2\n" + "9" * 200_000 + ",3,4\n"), says="cannot be read as CSV"),
    Row(
        name="a line of 3 million letters",
        data=File("x,y\n1,2\n2,3\n" + "a" * 3_000_000 + ",4\n"),
        says="text among numbers: 'aaaaa",
    ),
    Row(
        name="a value that contains the delimiter, and an empty last field",
        data=File("x,y,note\n1,2,\n2,4,\n1,250,6,\n4,8,\n"),
        says="Line 4 of <data> has 4 fields, and the header has 3: a value may contain the delimiter, as in 1,250",
    ),
    Row(
        name="a line without the delimiter that ends all others",
        data=File("x,y\n" + "".join(f"{i},{2 * i},\n" for i in range(30_000)) + "1,2\n"),
        says="Line 30,002 of <data> has 2 fields, and the lines before it have 3. Correct that line.",
    ),
    Row(name="every line ends in a delimiter", data=File("x,y\n1,2,\n2,4,\n3,6,\n4,8,\n"), params=ON_A_LINE),
    Row(name="a gzipped file cut short", data=File(gzip.compress(LINE.encode() * 99)[:-9], "data.csv.gz"), says="cannot be read"),
    Row(
        name="a gzipped file with a wrong checksum",
        data=File(with_another_checksum(gzip.compress(b"x,y\n" + LINE.encode())), "data.csv.gz"),
        says="cannot be read",
    ),
    Row(
        name="the folder of a Hudi table",
        data=Files({".hoodie/hoodie.properties": "", "part-0.csv": "x,y\n" + LINE}),
        says="is a Hudi table, whose files can hold changed or deleted rows that only its log marks.",
    ),
    Row(name="a missing file", data=At("missing.csv"), says="The file 'missing.csv' does not exist. Give the path of a"),
    Row(name="a misspelled file ending", data=At("cars.cvs"), says="The file 'cars.cvs' does not exist."),
    Row(
        name="a folder without data",
        data=At("."),
        says="The folder '.' has no file whose name ends in one of .parquet, .pq,",
    ),
    Row(
        name="a URL of another kind",
        data=At("ftp://example.org/cars.csv"),
        says="'ftp://example.org/cars.csv' begins with ftp://, which is not supported. Give a path, or an https or s3 URL.",
    ),
    Row(
        name="a pattern that matches no file",
        data=At("*.csv"),
        says="The pattern '*.csv' matches no file. Check its folders and name; * stands for any letters and",
    ),
    Row(
        name="a column that one of several files lacks",
        data=Files({"a.csv": "x,y\n" + LINE, "b.csv": "y\n1\n"}),
        says="Column 'x' is in 'a.csv' and not in 'b.csv', which is another file of data. Add the column to every file,",
    ),
    Row(
        name="text in one of several files",
        data=Files({"a.csv": "x,y\n" + LINE, "b.csv": "x,y\na,1\n"}),
        says="Column 'x' holds numbers (BIGINT) in 'a.csv' and text (VARCHAR) in 'b.csv'. Write one kind of values in all files of",
    ),
    Row(
        name="files of several kinds",
        data=Files({"a.csv": "x,y\n" + LINE, "b.jsonl": '{"x": 1, "y": 2}\n'}),
        says="The files of data are of different kinds: 'a.csv' is CSV and 'b.jsonl' is JSON lines. Give files of one kind,",
    ),
    Row(
        name="an empty file among several",
        data=Files({"a.csv": "x,y\n" + LINE, "part/b.csv": ""}),
        says="The file 'part/b.csv' is empty (0 bytes).",
    ),
    Row(name="an Excel sheet", data=At("cars.xlsx"), says="'cars.xlsx'"),
    Row(name="a missing Parquet file", data=At("cars.parquet"), says="'cars.parquet'"),
    Row(
        name="a pattern character and a backslash in the file's name",
        data=File("x,y\n" + LINE, "a\\[1].csv"),
        says="has a backslash and one of * ? [ in it, which DuckDB takes for a pattern. Rename the file.",
    ),
    Row(name="a text file with a name ending in .parquet", data=File("x,y\n" + LINE, "cars.parquet"), says="Rename the file."),
    Row(
        name="JSON with a name ending in .csv",
        data=File('{"error": "log in"}\n'),
        says="its content is that of a JSON file. Rename",
    ),
    Row(name="Parquet cut short", data=File(b"PAR1\x15\x04", "cars.parquet"), says="cannot be read"),
    Row(name="Arrow cut short", data=File(b"ARROW1\0\0\xff", "cars.arrow"), says="cannot be read"),
    Row(name="JSON lines cut short", data=File('{"x": 1, "y"', "cars.jsonl"), says="cannot be read"),
    Row(name="a workbook cut short", data=File(b"PK\x03\x04\x14\0", "cars.xlsx"), says="damaged or was cut short"),
    Row(name="a name of 300 letters", data=At("a" * 300 + ".csv"), says="File name too long"),
    Row(name="a path in bytes", data=b"data.csv", says="The file 'data.csv' does not exist.", python_only=NO_OBJECTS),
    Row(
        name="a null character in the path",
        data=At("a\0b.csv"),
        says="The path has a null character in it. Give the path of a",
    ),
    Row(name="a pattern character in the file's name", data=File("x,y\n" + LINE, "a[1].csv"), params=ON_A_LINE),
    Row(
        name="a folder of files",
        data=Files({"a.csv": "x,y\n1,2\n2,4\n", "b/c.csv": "y;x\n6;3\n8;4\n", "notes.txt": "a", "_SUCCESS": "", "~$a.xlsx": "me"}),
        params=ON_A_LINE,
    ),
    Row(name="semicolons", data=File("x;y\n1;2\n2;4\n3;6\n4;8\n"), params=ON_A_LINE),
    Row(name="tabs", data=File("x\ty\n1\t2\n2\t4\n3\t6\n4\t8\n"), params=ON_A_LINE),
    Row(name="bars", data=File("x|y\n1|2\n2|4\n3|6\n4|8\n"), params=ON_A_LINE),
    Row(name="quotes around everything", data=File('"x","y"\n"1","2"\n"2","4"\n"3","6"\n"4","8"\n'), params=ON_A_LINE),
    Row(name="no line end at the end", data=File("x,y\n1,2\n2,4\n3,6\n4,8"), params=ON_A_LINE),
    Row(name="a blank line in the middle", data=File("x,y\n1,2\n2,4\n\n3,6\n4,8\n"), params=ON_A_LINE),
    Row(name="a space in the file's name", data=File("x,y\n" + LINE, "my cars.csv"), params=ON_A_LINE),
    Row(name="a quote in the file's name", data=File("x,y\n" + LINE, "it's.csv"), params=ON_A_LINE),
    Row(name="a line end in a quoted name", data=File('"unit (a|b)\nsecond",x,y\n1,1,2\n1,2,4\n1,3,6\n1,4,8\n'), params=ON_A_LINE),
    Row(
        name="halves after 60,000 whole numbers",
        data=File("x,y\n" + "1,2\n2,4\n3,6\n" * 20_000 + "4.5,9.0\n"),
        params=ON_A_LINE,
    ),
    Row(
        name="numbers after 30,000 empty fields",
        data=File("x,y,z\n" + ",,1\n" * 30_000 + "1,2,3\n2,4,3\n3,6,3\n4,8,3\n"),
        params=ON_A_LINE,
    ),
]

ENCODINGS = [
    Row(name="UTF-16", data=File(("x,y\n" + LINE).encode("utf-16")), params=ON_A_LINE),
    Row(
        name="UTF-16 without a mark",
        data=File(("x,y\n" + LINE).encode("utf-16-le")),
        says="The file '<data>' has null bytes, as UTF-16 text and binary files have. Save it as UTF-8 text, or",
    ),
    Row(name="UTF-32", data=File(("x,y\n" + LINE).encode("utf-32")), says="has null bytes"),
    Row(name="Latin-1 in a name", data=File("x,é\n1,2\n".encode("latin-1")), says="not encoded in UTF-8"),
    Row(
        name="Latin-1 in a value",
        data=File("x,y,name\n1,2,café\n2,3,a\n3,5,b\n4,4,c\n".encode("latin-1")),
        says="not encoded in UTF-8",
    ),
    Row(name="every byte", data=File(bytes(range(256))), says="has null bytes, as UTF-16 text and binary files have."),
    Row(name="a null byte in a value", data=File(b"x,y\n1,2\n2,\0\n3,5\n"), says="has null bytes"),
    Row(name="a picture", data=File(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), says="'<data>' is a picture. Give the file with the table"),
    Row(name="a zip file cut short", data=File(b"PK\x03\x04\x14\0\0\0"), says="because it is damaged or was cut short"),
    Row(
        name="a gzip file cut short",
        data=File(gzip.compress(b"x,y\n1,2\n" * 1000, mtime=0)[:40], "broken.csv.gz"),
        says="The file '<data>' cannot be read",
    ),
    Row(
        name="the end-of-file sign of MS-DOS",
        data=File("y,x\n1,2\n2,4\n3,6\n4,8\x1a"),
        says="holds text among numbers: '8\\x1a' in data row 4.",
    ),
    Row(name="a mark of UTF-8", data=File(b"\xef\xbb\xbfx,y\n1,2\n2,4\n3,6\n4,8\n"), params=ON_A_LINE),
    Row(name="line ends of Windows", data=File("x,y\r\n1,2\r\n2,4\r\n3,6\r\n4,8\r\n"), params=ON_A_LINE),
    Row(name="line ends of classic Mac OS", data=File("x,y\r1,2\r2,4\r3,6\r4,8\r"), params=ON_A_LINE),
    Row(name="gzip", data=File(gzip.compress(("x,y\n" + LINE).encode(), mtime=0), "data.csv.gz"), params=ON_A_LINE),
    Row(name="gzip by another name", data=File(gzip.compress(("x,y\n" + LINE).encode(), mtime=0)), params=ON_A_LINE),
]
