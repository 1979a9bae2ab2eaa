"""Bytes of a source file -> its text, as Python itself would decode them."""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


def read_bytes(path: str) -> bytes:
    """The content of a file. Raises OSError."""
    with open(path, "rb") as file:
        return file.read()


def read_text(path: str) -> str:
    """The text of a file, its newlines as they are. Raises OSError, or ValueError for bytes that do not decode."""
    return decode(read_bytes(path), path)


def decode(data: bytes, path: str) -> str:
    """The text behind the bytes: UTF-8 unless a notebook's or a PEP 263 comment says otherwise; without its BOM.

    Raises ValueError, with a sentence, for an unknown encoding or bytes that are not in it.
    """
    encoding = declared_encoding(data) if not path.endswith(".ipynb") else "utf-8"
    try:
        return data.removeprefix(_BOM).decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"byte {data[error.start]:#04x} on line {line} is not valid {encoding}") from error


def declared_encoding(data: bytes) -> str:
    """The encoding that Python reads these bytes in. Raises ValueError for one that it does not know."""
    head = data[:500]
    if b"coding" not in head:
        return "utf-8"
    from io import BytesIO
    from tokenize import detect_encoding

    try:
        # Python ends a line at a lone "\r" too; detect_encoding does not.
        encoding, _ = detect_encoding(BytesIO(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).readline)
    except SyntaxError as error:
        raise ValueError(str(error.msg)) from error
    return encoding.removesuffix("-sig")
