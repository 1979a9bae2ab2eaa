"""Is the text of a saved program nothing but names and operators of torch.

torch.export writes the names in it into Python code that it then runs, calls what its operators name, and evaluates
its guards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from keyword import iskeyword
from typing import Any

_OPERATOR = re.compile(r"torch\.ops\.\w+\.\w+(\.\w+)?|#\w+:[\w.]+", re.ASCII)
_ON_SIZES = re.compile(r"(_operator|math)\.\w+|torch\._?sym_\w+", re.ASCII)
"""What a node may call on sizes besides; torch holds it to a list of its own."""
_FILES = re.compile(r"\b(from_file|(read|write)_file)\b")
"""Operators that open the files that they are told."""
_IDENTIFIERS = ("name", "forward_arg_names")
_PATHS = ("fqn", "parameter_name", "buffer_name", "tensor_constant_name", "custom_obj_name", "user_input_name")


def codes(program: object) -> Iterator[str]:
    """What in the parsed text of a program may be code, in words."""
    if isinstance(program, list):
        for part in program:
            yield from codes(part)
    elif isinstance(program, dict):
        for key, value in program.items():
            texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
            yield from (f"{what}, `{text[:60]}`" for text in texts if (what := _fault(key, text)))
            yield from codes(value)


def _fault(key: str, text: str) -> str:
    if key in _IDENTIFIERS:
        return "" if not text or (text.isidentifier() and not iskeyword(text)) else "a name that is none"
    if key in _PATHS:
        return "" if text.isprintable() and not set(text) & set("\"'\\") else "a path that is none"
    if key in ("target", "as_operator"):
        known = _OPERATOR.fullmatch(text) or (key == "target" and _ON_SIZES.fullmatch(text))
        return "" if known and not _FILES.search(text) else "an operator that is none of torch"
    return ""


def without_guards(program: dict[str, Any]) -> dict[str, Any]:
    """The same without its guards, which are code: they only restate which sizes it takes."""
    return {**program, "guards_code": []} if "guards_code" in program else program
