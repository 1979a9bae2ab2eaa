"""What the names of a module stand for."""

from __future__ import annotations

import ast

from normfix.graph import Unknown
from normfix.readers.interpreter.values import MISSING, Choice, Class, Constant, Dotted, Function, Scope, Value, join
from normfix.script import FUNCTIONS, Script

BUILTINS = frozenset(
    """range len list tuple dict set zip enumerate reversed isinstance int float str bool max min sum abs round super
    getattr setattr hasattr print sorted map filter any all next iter type object property staticmethod classmethod
    issubclass callable id repr vars format divmod pow slice open hash input frozenset bytes NotImplementedError
    ValueError RuntimeError TypeError AssertionError KeyError Exception""".split()
)


def module_scope(script: Script) -> Scope:
    """The scope of a file: its imports, classes, functions, and the constants that are bound once."""
    scope = Scope(None, script)
    bindings: dict[str, list[ast.AST]] = {}
    _collect(script.tree.body, bindings)
    for name, nodes in bindings.items():
        scope.content[name] = _binding(name, nodes, scope)
    return scope


def _collect(statements: list[ast.stmt], bindings: dict[str, list[ast.AST]]) -> None:
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
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        bindings.setdefault(name.id, []).append(node)
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.ExceptHandler)):
            stack += reversed(
                [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
            )


def _binding(name: str, nodes: list[ast.AST], scope: Scope) -> Value:
    script = scope.script
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
    if isinstance(value, ast.Constant):
        return Constant(value.value)
    if isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant) and isinstance(value.op, ast.USub):
        number = value.operand.value
        return Constant(-number) if isinstance(number, (int, float)) else _ambiguous(name)
    if isinstance(value, (ast.Name, ast.Attribute)) and _root(value) in script.imports:
        return Dotted(script.resolve(value))
    if isinstance(value, ast.Call) and script.resolve(value.func) in ("functools.partial", "partial"):
        return Unknown(f"`{name}` is a partial of the module")
    return Unknown(f"`{name}` is set at the top level to something that is not a plain constant")


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


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _ambiguous(name: str) -> Unknown:
    return Unknown(f"`{name}` is bound more than once in the file")


def lookup(scope: Scope, name: str) -> Value:
    """What a name stands for where it is read."""
    at: Scope | None = scope
    while at is not None:
        value = at.content.get(name)
        if value is not None and value is not MISSING:
            return present(value)
        if at.parent is None:
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
