"""Write workbooks cell by cell, after ECMA-376 (xlsx) and OpenDocument 1.3 (ods), as no spreadsheet program is at hand.

A cell is a number, a text, a truth value, None, or one of ("error", "#N/A"), ("formula", "A1+1", its value or None) and
("date", days).
"""

from __future__ import annotations

import zipfile
from xml.sax.saxutils import escape, quoteattr

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


def write_xlsx(path, sheets, merged=()):
    """Write sheets, name -> rows of cells; `merged` are ranges such as "A2:A3", in all sheets."""
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": _relations([("rId1", "officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
        + "".join(f'<sheet name={quoteattr(name)} sheetId="{k}" r:id="rId{k}"/>' for k, name in enumerate(sheets, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relations(
            [(f"rId{k}", "worksheet", f"worksheets/sheet{k}.xml") for k in range(1, len(sheets) + 1)]
            + [("rId999", "styles", "styles.xml")]
        ),
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
        "</styleSheet>",
    }
    ranges = "".join(f'<mergeCell ref="{each}"/>' for each in merged)
    for k, rows in enumerate(sheets.values(), 1):
        body = "".join(
            f'<row r="{i}">{"".join(_cell(cell, i, j) for j, cell in enumerate(row))}</row>' for i, row in enumerate(rows, 1)
        )
        tail = f"<mergeCells>{ranges}</mergeCells>" if merged else ""
        parts[f"xl/worksheets/sheet{k}.xml"] = f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData>{tail}</worksheet>'
    _write(path, {name: _DECLARATION + text for name, text in parts.items()})


def write_ods(path, sheets):
    """Write sheets, name -> rows of numbers, texts and None."""
    namespaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    tables = ""
    for name, rows in sheets.items():
        body = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
        tables += f"<table:table table:name={quoteattr(name)}>{body}</table:table>"
    content = (
        f'<office:document-content {namespaces} office:version="1.3"><office:body><office:spreadsheet>{tables}</office:spreadsheet>'
        "</office:body></office:document-content>"
    )
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry '
        'manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/></manifest:manifest>'
    )
    parts = {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": _DECLARATION + content}
    _write(path, {**parts, "META-INF/manifest.xml": _DECLARATION + manifest})


def _write(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)


def _relations(rows):
    body = "".join(f'<Relationship Id="{key}" Type="{_RELATIONS}/{kind}" Target="{target}"/>' for key, kind, target in rows)
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{body}</Relationships>'


def _cell(cell, row, place):
    if cell is None:
        return ""
    at = f'r="{chr(65 + place)}{row}"'
    if isinstance(cell, bool):
        return f'<c {at} t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, str):
        return f'<c {at} t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    if not isinstance(cell, tuple):
        return f"<c {at}><v>{cell!r}</v></c>"
    kind, value, *saved = cell
    if kind == "formula":
        return f"<c {at}><f>{escape(value)}</f>{'' if saved[0] is None else f'<v>{saved[0]!r}</v>'}</c>"
    return f'<c {at} t="e"><v>{value}</v></c>' if kind == "error" else f'<c {at} s="1"><v>{value!r}</v></c>'


def _ods_cell(cell):
    if cell is None:
        return "<table:table-cell/>"
    if isinstance(cell, str):
        return f'<table:table-cell office:value-type="string"><text:p>{escape(cell)}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{cell!r}"><text:p>{cell}</text:p></table:table-cell>'
