"""Can a plain container of layers be a `ModuleList` or `ModuleDict`: do both take what it holds and how it is used."""

import ast

from normfix.script import Script, walk
from normfix.usage.modules import classes, is_torch_class, layer_kind
from normfix.usage.steps import dotted, position, scope_of

READERS = frozenset({"len", "enumerate", "zip", "reversed", "iter", "list", "tuple", "range"})
"""Functions that take a ModuleList as they take a list."""
METHODS = frozenset({"append", "items", "keys", "values"})
RESERVED = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu items keys
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
    set_submodule share_memory state_dict to to_empty train training type update values xpu zero_grad
    """.split()
)
"""Attributes of a ModuleDict, which it does not take as keys."""


def can_register(script: Script, name: str, value: ast.expr) -> bool:
    """Is it certain that the container in the attribute `name` may be wrapped where it is written, as `value`."""
    attribute = name.rpartition(".")[2]
    uses = [one for one in script.of_type(ast.Attribute) if one.attr == attribute and isinstance(one.ctx, ast.Load)]
    ready = takes_modules(scope_of(script, value).node, value)
    return ready and _holds_modules(script, value) and all(_is_shared_use(script, one) for one in uses)


def takes_modules(constructor: ast.AST, where: ast.AST) -> bool:
    """Has a constructor called that of its base before this place: until then no attribute may be a module."""
    calls = (one for one in walk(constructor) if isinstance(one, ast.Call))
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "__init__" and position(call) < position(where)
        for call in calls
    )


def _holds_modules(script: Script, value: ast.expr) -> bool:
    if isinstance(value, ast.Name):
        return _is_filled_before(script, value)
    if isinstance(value, ast.List):
        return all(_is_module(script, one) for one in value.elts)
    if isinstance(value, ast.ListComp):
        return _is_module(script, value.elt)
    if isinstance(value, ast.Dict):
        return all(map(_is_key, value.keys)) and all(_is_module(script, one) for one in value.values)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _holds_modules(script, value.left) and _holds_modules(script, value.right)
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult) and _holds_modules(script, value.left)


def _is_filled_before(script: Script, name: ast.Name) -> bool:
    """Is a local list of modules only appended to, and that before it is stored."""
    scope = scope_of(script, name)
    local = scope.value(name.id)
    uses = [one for one in walk(scope.node) if isinstance(one, ast.Name) and one.id == name.id and one is not name]
    return (
        local is not None
        and not isinstance(local, ast.Name)
        and _holds_modules(script, local)
        and all(
            isinstance(one.ctx, ast.Store) or (position(one) < position(name) and _is_shared_use(script, one))
            for one in uses
        )
    )


def _is_module(script: Script, value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return value.value is None
    if not isinstance(value, ast.Call):
        return False
    own = classes(script).get(dotted(value.func))
    return bool(layer_kind(script, value)) or (own is not None and is_torch_class(script, own))


def _is_key(key: ast.expr | None) -> bool:
    name = key.value if isinstance(key, ast.Constant) else None
    return isinstance(name, str) and bool(name) and "." not in name and name not in RESERVED


def _is_shared_use(script: Script, node: ast.expr) -> bool:
    """Is this something that plain containers and those of torch have in common."""
    parent = script.parents[node]
    if isinstance(parent, ast.Attribute):
        call = script.parents[parent]
        called = isinstance(call, ast.Call) and call.func is parent and parent.attr in METHODS
        return called and (parent.attr != "append" or all(_is_module(script, one) for one in call.args))  # type: ignore[attr-defined]  # just tested
    if isinstance(parent, ast.Call):
        return isinstance(parent.func, ast.Name) and parent.func.id in READERS and node in parent.args
    if isinstance(parent, ast.Subscript):
        return parent.value is node and isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.Compare):
        return [type(one) for one in parent.ops] == [ast.In] and parent.left is not node
    return isinstance(parent, ast.For | ast.comprehension | ast.Starred) and getattr(parent, "iter", node) is node
