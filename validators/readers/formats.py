"""Which format a file has: what its suffix says, and what its first bytes say. Unmistakable bytes win over the suffix.

Looks at names and bytes only; opens nothing.
"""

from __future__ import annotations

import codecs
import enum
import json
import re
from dataclasses import dataclass

from validators.errors import FileProblem

#: Bytes at the beginning of a file that are looked at; a record of JSON is rarely longer.
SNIFF_BYTES = 64 * 1024

#: Errors that a JSON text cut at any byte can give lie this close to its end: the longest token is `-Infinity`.
_TOKEN_CHARS = 12

_BLANKS = " \t\r\n"
#: What separates the fields of a table whose name does not say that it is one, and lines in which it is looked for.
_DELIMITERS = (",", ";", "\t", "|")
_LINES_SEEN = 10
_EXPECTED = "expected CSV, TSV, NDJSON, JSON, Parquet or Excel (.xlsx)"
_EXPORT = "Export the data as CSV, NDJSON, JSON, Parquet or .xlsx, and drop that file."


class Format(enum.StrEnum):
    """A kind of file that one of the readers reads; the value is how people call it."""

    DELIMITED = "delimited text"
    NDJSON = "NDJSON"
    JSON = "JSON"
    PARQUET = "Parquet"
    EXCEL = "Excel"


#: What a name's last part promises, once `.gz`, `.bz2` or `.zst` is taken off.
SUFFIXES: tuple[tuple[str, Format], ...] = (
    (".csv", Format.DELIMITED),
    (".txt", Format.DELIMITED),
    (".tsv", Format.DELIMITED),
    (".tab", Format.DELIMITED),
    (".ndjson", Format.NDJSON),
    (".jsonl", Format.NDJSON),
    (".json", Format.JSON),
    (".parquet", Format.PARQUET),
    (".pq", Format.PARQUET),
    (".xlsx", Format.EXCEL),
)
#: Suffixes that say how the bytes are packed.
PACKINGS = (".gz", ".bz2", ".zst")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The bytes by which a kind of file is known, and what its sender should do."""

    magic: bytes
    what: str
    offset: int = 0
    #: The magic might begin a text too, so other bytes of the file have to show that it is none.
    binary: bool = False
    hint: str = _EXPORT


_UNPACK = "Take the data file out of it and drop that, compressed with gzip, bzip2 or zstd if need be."

#: Files that are nothing of ours. Magic numbers as the formats' own specifications give them, and `file(1)` has them.
SIGNATURES: tuple[Signature, ...] = (
    Signature(magic=b"%PDF-", what="a PDF document"),
    Signature(magic=b"\x89PNG\r\n\x1a\n", what="a PNG image"),
    Signature(magic=b"\xff\xd8\xff", what="a JPEG image"),
    Signature(magic=b"GIF8", what="a GIF image", binary=True),
    Signature(magic=b"RIFF", what="a RIFF file (an image, sound or video)", binary=True),
    Signature(magic=b"II*\x00", what="a TIFF image"),
    Signature(magic=b"MM\x00*", what="a TIFF image"),
    Signature(magic=b"BM", what="a BMP image", binary=True),
    Signature(
        magic=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        what="an old Office document (.xls, .doc)",
        hint="Open it in Excel, save it as 'Excel workbook (.xlsx)' or as CSV, and drop that file.",
    ),
    Signature(magic=b"Obj\x01", what="an Avro file"),
    Signature(magic=b"ORC", what="an ORC file", binary=True),
    Signature(magic=b"ARROW1", what="an Arrow (Feather) file", binary=True),
    Signature(magic=b"FEA1", what="a Feather file", binary=True),
    Signature(magic=b"SQLite format 3\x00", what="an SQLite database"),
    Signature(magic=b"\x89HDF\r\n\x1a\n", what="an HDF5 file"),
    Signature(magic=b"\x93NUMPY", what="a NumPy file"),
    Signature(magic=b"\x7fELF", what="a program (ELF)"),
    Signature(magic=b"MZ", what="a program (Windows)", binary=True),
    Signature(magic=b"{\\rtf", what="an RTF document"),
    Signature(magic=b"Rar!\x1a\x07", what="a RAR archive", hint=_UNPACK),
    Signature(magic=b"7z\xbc\xaf\x27\x1c", what="a 7-Zip archive", hint=_UNPACK),
    Signature(magic=b"ustar", offset=257, what="a tar archive", hint=_UNPACK),
    Signature(magic=b"PK\x03\x04", what="a ZIP archive", hint=_UNPACK),
    Signature(magic=b"PK\x05\x06", what="an empty ZIP archive", hint=_UNPACK),
    Signature(magic=b"\xfd7zXZ\x00", what="an xz file", hint=_UNPACK),
    Signature(magic=b"\x04\x22\x4d\x18", what="an LZ4 file", hint=_UNPACK),
    Signature(magic=b"\x1f\x9d", what="a compressed file (.Z)", hint=_UNPACK),
    # These three are unpacked before anyone looks here, so what is seen was packed twice.
    Signature(magic=b"\x1f\x8b\x08", what="a file compressed twice (gzip inside)", hint=_UNPACK),
    Signature(magic=b"BZh", what="a file compressed twice (bzip2 inside)", binary=True, hint=_UNPACK),
    Signature(magic=b"\x28\xb5\x2f\xfd", what="a file compressed twice (zstd inside)", hint=_UNPACK),
)

#: Bytes that no text has: control characters but tab, line ends, form feed, Ctrl-Z (DOS) and escape.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x19\x1c-\x1f]")
_MARKUP = re.compile(r"<(?:(!doctype\s+html|html|head|body|table)\b|(\?xml)\s)", re.IGNORECASE)
_RECORD_START = re.compile(r'\[?\s*\{\s*"(?:[^"\\]|\\.)*"\s*:')
#: Numbers stay text, so that no number is too long for Python to convert.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def suffix_of(name: str) -> str:
    """Return the part of `name` that tells its format, in lower case: `.csv` for `a.CSV.gz`; empty if there is none."""
    bare = name.lower().rsplit("/", 1)[-1]
    for packing in PACKINGS:
        bare = bare.removesuffix(packing)
    _, dot, last = bare.rpartition(".")
    return dot + last if dot and last else ""


def format_of_name(name: str) -> Format | None:
    """Return the format that the suffix promises, or None where it promises nothing."""
    return dict(SUFFIXES).get(suffix_of(name))


def decide(name: str, head: bytes, *, whole: bool) -> tuple[Format, tuple[str, ...]]:
    """Return the format of a file and what its report should say about it.

    Args:
        name: the dropped object's name.
        head: the first bytes after decompression, `SNIFF_BYTES` of them.
        whole: whether `head` is the whole file.

    Raises:
        FileProblem: `empty_file`, or `not_data` for files that are nothing of ours.
    """
    named = format_of_name(name)
    found, sure = _sniff(head, named, whole=whole)
    if named is None:
        label = suffix_of(name)
        return found, (f"the name ends in {label}, which says nothing of its format; read as {found}",) if label else ()
    if found == named or not sure:
        found = _kept(name, named, head)
    return found, () if found == named else (f"named {suffix_of(name)}, holds {found}; read as {found}",)


def cut_short(error: json.JSONDecodeError) -> bool:
    """Tell whether a JSON text may be fine as far as it goes: its error is that it ends."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(error.doc) - _TOKEN_CHARS


def _kept(name: str, named: Format, head: bytes) -> Format:
    """Keep what the suffix says, unless the bytes rule it out."""
    binary = {Format.PARQUET: (b"PAR1", b"PARE"), Format.EXCEL: (b"PK\x03\x04",)}.get(named)
    if named is Format.DELIMITED or (binary and head.startswith(binary)):
        return named
    if _is_table(_text(head)):
        return Format.DELIMITED
    if binary is None:
        return named
    start = head[:40].decode("utf-8", "backslashreplace").splitlines()[:1]
    raise FileProblem(
        "not_data",
        f"the name ends in {suffix_of(name)}, but this is not {named}: it begins with {(start or [''])[0]!r}",
        hint="If the file is CSV, NDJSON or JSON, give it that suffix; if it should be "
        f"{named}, write it again: its beginning is damaged.",
    )


def _sniff(head: bytes, named: Format | None, *, whole: bool) -> tuple[Format, bool]:
    """Return what the bytes look like, and whether there is no mistaking it."""
    if _blank(head) and whole:
        raise FileProblem(
            "empty_file",
            "the file is empty" if not head else "the file has nothing but blanks in it",
            hint="Drop the file again with its data; a file without rows still needs its header line.",
        )
    special = _signature(head)
    if special is not None:
        return special, True
    text = _text(head).lstrip(_BLANKS)
    _refuse_markup(text)
    return _sniff_json(text, named, whole=whole)


def _is_table(text: str) -> bool:
    """Tell whether a text is nothing but lines with delimiters, as far as its first ones show: two, at the least."""
    if text.lstrip(_BLANKS).startswith(("{", "[")) or _CONTROL.search(text.encode(errors="replace")):
        return False
    lines = [line.strip(_BLANKS) for line in text.splitlines() if line.strip(_BLANKS)][:_LINES_SEEN]
    if any(line.startswith(("{", "[")) for line in lines):
        return False
    return len(lines) > 1 and any(all(each in line for line in lines[:2]) for each in _DELIMITERS)


def _blank(head: bytes) -> bool:
    return not _text(head).strip(_BLANKS + "\x1a")


def _text(head: bytes) -> str:
    """Decode for looking only: a mark decides between UTF-8 and UTF-16, odd bytes are replaced."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "replace")
    return head.decode("utf-8-sig", "replace")


def _signature(head: bytes) -> Format | None:
    """Return the binary format of ours that the bytes are, None for text; refuse the rest."""
    binary = _CONTROL.search(head[:1024]) is not None
    if head.startswith((b"PAR1", b"PARE")) and binary:
        return Format.PARQUET
    if head.startswith(b"PK\x03\x04") and is_workbook(head):
        return Format.EXCEL
    if head.startswith(b"\xd0\xcf\x11\xe0") and "EncryptedPackage".encode("utf-16-le") in head:
        raise FileProblem(
            "excel", "the workbook is protected with a password", hint="Save it without a password and drop it again."
        )
    for signature in SIGNATURES:
        if head.startswith(signature.magic, signature.offset) and (binary or not signature.binary):
            raise FileProblem("not_data", f"this is {signature.what}, {_EXPECTED}", hint=signature.hint)
    return None


def is_workbook(head: bytes) -> bool:
    """Tell whether a ZIP archive's first bytes show an Excel workbook: entries below `xl/`, or a package's types.

    A Word or PowerPoint file has the types too; the Excel reader finds no workbook in it and says so.
    """
    return b"xl/" in head or (b"[Content_Types].xml" in head and b"word/" not in head and b"ppt/" not in head)


def _refuse_markup(text: str) -> None:
    match = _MARKUP.match(text)
    if match is not None:
        what = "an XML document" if match[2] else "an HTML page"
        hint = _EXPORT if match[2] else f"It may be a login or error page instead of the download. {_EXPORT}"
        raise FileProblem("not_data", f"this is {what}, {_EXPECTED}", hint=hint)


def _sniff_json(text: str, named: Format | None, *, whole: bool) -> tuple[Format, bool]:
    """Tell JSON, NDJSON and other text apart by parsing the beginning.

    A CSV file may begin with a bracket in its first cell, so only a text that parses is surely JSON.
    """
    family = named if named in (Format.JSON, Format.NDJSON) else Format.JSON
    if text[:1] not in ("{", "["):
        return named if named is not None else Format.DELIMITED, False
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        return family, False
    except json.JSONDecodeError as error:
        return _sniff_broken(text, error, family, whole=whole)
    rest = text[end:].lstrip(" \t\r")
    if isinstance(value, dict):
        return _after_object(text[:end], rest, family, named)
    return _after_array(value, rest, family, named)


def _after_object(first: str, rest: str, family: Format, named: Format | None) -> tuple[Format, bool]:
    """One whole object stands at the beginning: what follows tells lines of objects from one document."""
    if not rest.strip(_BLANKS):
        return (family if named is not Format.NDJSON or "\n" not in first else Format.JSON), True
    if rest.startswith("\n"):
        return Format.NDJSON, "\n" not in first or rest.lstrip(_BLANKS).startswith("{")
    return (named or Format.DELIMITED), False


def _after_array(value: list[object], rest: str, family: Format, named: Format | None) -> tuple[Format, bool]:
    """One whole array stands at the beginning: alone, and with objects in it, it is a document."""
    if rest.strip(_BLANKS):
        return (named or Format.DELIMITED), False
    rows = any(isinstance(item, dict) for item in value)
    return (Format.JSON if rows else family), rows


def _sniff_broken(text: str, error: json.JSONDecodeError, family: Format, *, whole: bool) -> tuple[Format, bool]:
    """The beginning does not parse: it is cut off, or broken, or no JSON at all."""
    likely = _RECORD_START.match(text) is not None
    if cut_short(error) and not whole:
        array = text.startswith("[")
        many_lines = "\n" in text[: error.pos]
        return (Format.JSON if array or many_lines else family), likely
    if any(_is_object(line) for line in text.split("\n")[1:-1][:10]):
        return Format.NDJSON, True
    return family if likely else Format.DELIMITED, False


def _is_object(line: str) -> bool:
    try:
        return isinstance(_DECODER.decode(line), dict)
    except (ValueError, RecursionError):
        return False
