"""Python source -> `Script`: one parse, one look at the statements, nothing imported or executed, nothing recursive."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator

from normfix import vocabulary
from normfix.graph import Origin
from normfix.script import Nodes, Parents, Script, lines_of, outline

_MODULE_NAMES = ("Module", "Parameter", "ParameterList", "ParameterDict", "DataParallel", "functional", "init", "utils")


def read(text: str, path: str) -> Script:
    """Parse and index one source. Raises SyntaxError, or ValueError for what Python itself cannot parse."""
    text = text.removeprefix("\ufeff")
    tree = parse(text)
    return index(tree, text, path, spans(text, path))


def parse(text: str) -> ast.Module:
    """`ast.parse` that neither warns about the code it reads nor fails in unusual ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (RecursionError, MemoryError) as error:
            raise ValueError("the code is nested too deeply to be parsed") from error


def index(tree: ast.Module, text: str, path: str, origin_of: Callable[[ast.AST], Origin]) -> Script:
    """A `Script` over a parsed tree."""
    statements, around = outline(tree)
    return Script(path, text, tree, _imports(tree, statements, around), statements, around, origin_of)


def spans(text: str, path: str) -> Callable[[ast.AST], Origin]:
    """A function from a node to its span. ast counts columns in UTF-8 bytes from 0, users in characters from 1."""
    column = _byte_columns(text)

    def origin_of(node: ast.AST) -> Origin:
        line = getattr(node, "lineno", 1)
        start = getattr(node, "col_offset", 0)
        last = getattr(node, "end_lineno", None) or line
        end = getattr(node, "end_col_offset", None)
        end = start if end is None else end
        return Origin(path, line, column(line, start), last, column(last, end))

    return origin_of


def _byte_columns(text: str) -> Callable[[int, int], int]:
    if text.isascii():
        return lambda line, offset: offset + 1
    lines: list[str] = []

    def column(line: int, offset: int) -> int:
        if not lines:
            lines.extend(lines_of(text))
        row = lines[line - 1] if line <= len(lines) else ""
        return (offset if row.isascii() else len(row.encode()[:offset].decode(errors="ignore"))) + 1

    return column


def _imports(tree: ast.Module, nodes: Nodes, parents: Parents) -> dict[str, str]:
    """What imported names stand for. The last import at the top level counts, then the first one elsewhere (`try`)."""
    own = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))}
    statements = [*nodes.get(ast.Import, ()), *nodes.get(ast.ImportFrom, ())]
    statements.sort(key=lambda node: not isinstance(parents[node], ast.Module))
    names: dict[str, str] = {}
    stars: dict[str, str] = {}
    for statement in statements:
        for name, meaning in _bindings(statement):
            if name == "*":
                stars.update(_star(meaning))
            elif name not in own and (name not in names or isinstance(parents[statement], ast.Module)):
                names[name] = meaning
    for name, meaning in stars.items():
        if name not in own:
            names.setdefault(name, meaning)
    return names | _renamed(tree, names, own)


def _bindings(statement: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
    elif isinstance(statement, ast.ImportFrom):
        module = "." * statement.level + (statement.module or "")
        for alias in statement.names:
            dotted = module + alias.name if module.endswith(".") else f"{module}.{alias.name}"
            yield (alias.name, module) if alias.name == "*" else (alias.asname or alias.name, dotted)


def _star(module: str) -> dict[str, str]:
    """What `from module import *` brings, as far as the vocabulary knows."""
    if module == "torch.nn":
        kinds: Iterable[str] = (kind for kind in vocabulary.kinds() if "." not in kind and kind[0].isupper())
        known = [kind for kind in kinds if not kind.startswith("SwitchNorm")]
        return {name: f"torch.nn.{name}" for name in (*known, *_MODULE_NAMES)}
    if module == "torch.nn.functional":
        functions = (kind for kind in vocabulary.kinds() | vocabulary.ACTIVATIONS if kind.islower())
        return {name: f"torch.nn.functional.{name}" for name in functions}
    return {}


def _renamed(tree: ast.Module, names: dict[str, str], own: set[str]) -> dict[str, str]:
    """Names that stand, from their one assignment at the top level, for an imported one: `Norm = nn.BatchNorm2d`."""
    assigned: dict[str, list[ast.expr]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(statement.value)
    renamed: dict[str, str] = {}
    for name, values in assigned.items():
        if len(values) == 1 and name not in own and (meaning := _dotted(values[0], names)):
            renamed[name] = meaning
    return renamed


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return ""
    return ".".join([names[node.id], *reversed(parts)])
