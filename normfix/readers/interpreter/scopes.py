"""What the names of a module stand for."""

from __future__ import annotations

import ast
import re

from normfix.graph import Unknown
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.joining import join
from normfix.readers.interpreter.values import (
    MISSING,
    Choice,
    Class,
    Constant,
    Dotted,
    Function,
    Items,
    Partial,
    Scope,
    Table,
    Value,
)
from normfix.readers.mentions import root
from normfix.script import FUNCTIONS, Script, walk

BUILTINS = frozenset(
    """range len list tuple dict set zip enumerate reversed isinstance int float str bool max min sum abs round super
    getattr setattr hasattr print sorted map filter any all next iter type object property staticmethod classmethod
    issubclass callable id repr vars format divmod pow slice open hash input frozenset bytes NotImplementedError
    ValueError RuntimeError TypeError AssertionError KeyError Exception""".split()
)


_LONGEST, _LARGEST = 64, 16
"""Elements of a list, and entries of a dict, that are read at the top level."""
_READ = r"=(?!=)|\[[^\[\]]*\](?![ \t]*[-+*/]?=(?!=))|\.(?:get|items|keys|values|copy)\("
"""What stands behind the name of a dict where it is written out, and where it is read."""


def module_scope(script: Script) -> Scope:
    """The scope of a file: its imports, classes, functions, and the constants that are bound once."""
    scope = Scope(None, script)
    collect(script.tree.body, scope.pending)
    return scope


def collect(statements: list[ast.stmt], bindings: dict[str, list[ast.AST]]) -> None:
    stack: list[ast.AST] = list(reversed(statements))
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            bindings.setdefault(node.name, []).append(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                bindings.setdefault(alias.asname or alias.name.partition(".")[0], []).append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        bindings.setdefault(name.id, []).append(node)
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.ExceptHandler)):
            stack += reversed(
                [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
            )


def collect_local(function: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
    """The names of a function whose body is not run: imports and definitions are known, values are not."""
    bindings: dict[str, list[ast.AST]] = {}
    collect(function.body, bindings)
    known = (ast.ClassDef, ast.Import, ast.ImportFrom, *FUNCTIONS)
    for node in walk(function):
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
            name = node.arg if isinstance(node, ast.arg) else node.id
            scope.content[name] = Unknown(f"`{name}` is set in `{function.name}`")
    for name, nodes in bindings.items():
        if all(isinstance(node, known) for node in nodes):
            scope.content[name] = _binding(name, nodes, scope)


def _binding(name: str, nodes: list[ast.AST], scope: Scope) -> Value:
    if all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes):
        meanings = {imported(node, name) for node in nodes}
        return join(Dotted(meaning) for meaning in sorted(meanings)) if len(meanings) < 4 else _ambiguous(name)
    if len(nodes) > 1:
        return _ambiguous(name)
    node = nodes[0]
    if isinstance(node, ast.ClassDef):
        return Class(node, scope)
    if isinstance(node, FUNCTIONS):
        return Function(node, scope)
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    if isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name):
        value = None
    if value is not None and _is_table(value, scope) and _is_filled_later(name, scope.script.text):
        return Unknown(f"`{name}` may be changed where it is used")
    return literal(value, scope) if value is not None else _ambiguous(name)


def _is_table(value: ast.expr, scope: Scope) -> bool:
    """Is this a dict of a few entries."""
    if isinstance(value, ast.Dict):
        return len(value.keys) <= _LARGEST
    if not isinstance(value, ast.Call) or value.args or not 0 < len(value.keywords) <= _LARGEST:
        return False
    return scope.script.resolve(value.func) == "dict" and all(one.arg for one in value.keywords)


def _is_filled_later(name: str, text: str) -> bool:
    """May a table of the top level be changed: set under a key, updated, or handed to something as a whole."""
    # The name stands first: Python looks for it fast, and only then at what is around it.
    used = re.findall(rf"{name}(?<![\w.*]{name})\b[ \t]*({_READ})?", text)
    return used.count("=") != 1 or "" in used


def literal(node: ast.expr, scope: Scope, depth: int = 0) -> Value:
    """A value that is written out at the top level: a constant, an imported name, a list or a partial of such."""
    if isinstance(node, ast.Constant):
        return Constant(node.value)
    if isinstance(node, (ast.Name, ast.Attribute)) and root(node) in scope.script.imports:
        return Dotted(scope.script.resolve(node))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = node.operand.value
        if isinstance(number, (int, float)):
            return Constant(-number)
    if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) <= _LONGEST and depth < 4:
        elements = [literal(one, scope, depth + 1) for one in node.elts if not isinstance(one, ast.Starred)]
        items = Items([*elements], "tuple" if isinstance(node, ast.Tuple) else "list")
        return items if len(elements) == len(node.elts) else Unknown("it is put together at the top level")
    if isinstance(node, ast.Call) and depth == 0:
        called = scope.script.resolve(node.func)
        if called == "functools.partial":
            return _partial(node, scope)
        if called == "dict" and _is_table(node, scope):
            return _settings({one.arg: literal(one.value, scope, 1) for one in node.keywords})
    if isinstance(node, ast.Dict) and len(node.keys) <= _LARGEST and depth < 4:
        keys = [one.value for one in node.keys if isinstance(one, ast.Constant) and isinstance(one.value, (str, int))]
        if len(keys) == len(node.keys):
            return _settings(dict(zip(keys, (literal(one, scope, depth + 1) for one in node.values), strict=True)))
    return Unknown("it is set at the top level to something that is not written out")


def _settings(content: dict[object, Value]) -> Value:
    """A table of plain values. Of one that holds classes any may be picked, and few picks are meant."""
    plain = all(isinstance(one, Constant) for one in content.values())
    return Table(content) if plain else Unknown("it is a table of things to pick from")


def _partial(node: ast.Call, scope: Scope) -> Value:
    if (
        not node.args
        or any(isinstance(one, ast.Starred) for one in node.args)
        or any(k.arg is None for k in node.keywords)
    ):
        return Unknown("it is a partial whose arguments are not written out")
    callee, *rest = [literal(one, scope, 1) for one in node.args]
    positional = [
        Passed(value, one, place, scope) for place, (value, one) in enumerate(zip(rest, node.args[1:], strict=True))
    ]
    keywords = {k.arg: Passed(literal(k.value, scope, 1), k.value, None, scope) for k in node.keywords if k.arg}
    return Partial(callee, Arguments(positional, keywords))


def imported(statement: ast.AST, name: str) -> str:
    """What a name that an import statement binds stands for."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname == name:
                return alias.name
        return name
    if isinstance(statement, ast.ImportFrom):
        module = "." * statement.level + (statement.module or "")
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                return module + alias.name if module.endswith(".") else f"{module}.{alias.name}"
    return name


def _ambiguous(name: str) -> Unknown:
    return Unknown(f"`{name}` is bound more than once in the file")


def lookup(scope: Scope, name: str) -> Value:
    """What a name stands for where it is read."""
    at: Scope | None = scope
    while at is not None:
        value = at.content.get(name)
        if value is not None and value is not MISSING:
            return present(value) if type(value) is Choice else value
        if at.parent is None:
            if name in at.pending:
                at.content[name] = _binding(name, at.pending.pop(name), at)
                return lookup(at, name)
            if name in at.script.imports:
                return Dotted(at.script.imports[name])
            if name in BUILTINS:
                return Dotted(f"builtins.{name}")
        at = at.parent
    return Unknown(f"`{name}` is not bound in this file")


def present(value: Value) -> Value:
    """The value where there is one: reading what a branch did not set would have raised."""
    if isinstance(value, Choice) and MISSING in value.options:
        return join(option for option in value.options if option is not MISSING)
    return value
