"""What a loop's body assigns, and what one round of it hands to the next."""

from __future__ import annotations

import ast

from normfix.script import walk

Loop = ast.For | ast.AsyncFor | ast.While


class Rounds:
    """The names in a loop's body, gathered once for a loop however often it is run."""

    __slots__ = ("_steps", "_targets", "assigned", "attributes")

    def __init__(self, loop: Loop) -> None:
        self.assigned: set[str] = set()
        """Names that the body sets."""
        self.attributes: list[ast.Attribute] = []
        """Attributes that the body sets."""
        self._steps: list[tuple[set[str], set[str]]] = []
        self._targets = set()
        if not isinstance(loop, ast.While):
            self._targets = {node.id for node in walk(loop.target) if isinstance(node, ast.Name)}
        for statement in loop.body:
            self._gather(statement)

    def _gather(self, statement: ast.stmt) -> None:
        reads: set[str] = set()
        for node in walk(statement):
            if isinstance(node, ast.Name):
                (reads if isinstance(node.ctx, ast.Load) else self.assigned).add(node.id)
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                self.attributes.append(node)
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            reads.add(statement.target.id)
        sets = {name for target in _targets(statement) for name in _names(target)}
        self._steps.append((reads, sets))

    def carries(self, name: str) -> bool:
        """Does a round read this name before it has set it."""
        if name in self._targets:
            return False
        for reads, sets in self._steps:
            if name in reads:
                return True
            if name in sets:
                return False
        return False


def _targets(statement: ast.stmt) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else []


def _names(target: ast.expr) -> set[str]:
    if isinstance(target, ast.Name):
        return {target.id}
    return {name for part in target.elts for name in _names(part)} if isinstance(target, ast.Tuple) else set()
