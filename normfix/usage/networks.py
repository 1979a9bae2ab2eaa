"""What networks a source file defines and builds, and whether batch norm or dropout is in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache

from normfix import norms, vocabulary
from normfix.lazy import pattern
from normfix.records import dataclass
from normfix.script import FUNCTIONS, Function, Script, walk
from normfix.usage.lines import calls_with
from normfix.usage.steps import Scope, dotted, functions, scope_of, scopes, switch, unwrapped

BATCH_NORMS = frozenset(kind for kind in norms.BATCH if kind[0].isupper())
WITH_BATCH_NORM = pattern(
    r"(se_?|legacy_se|gluon_|tf_|ecax?_|ig_|ssl_|swsl_|tv_|wide_|iresnet|i?)"
    r"(resnet|resnext|res2net|res2next|resnest|densenet|mobilenet|mnasnet|mixnet|shufflenet|googlenet|inception|xception"
    r"|efficientnet|regnet[xy]?_|ghostnet|hrnet|dla\d|dpn\d|rexnet|repvgg|hardcorenas|spnasnet|fbnet|lcnet|tinynet"
    r"|deeplabv3|fcn_resnet|lraspp|senet|skresn|cspresn|cspdarknet|darknet|selecsls|vovnet|nasnet|pnasnet|vgg\d+_bn)"
)
WITHOUT_BATCH_NORM = pattern(r"resnetv2|_gn$|_gn_|nf_|nfnet|_frn|_evo|resnet.*_bit|resnet.*_clip|resnet50x")
_FILES = 3
"""How many files deep the parts of a network are looked up."""
LIBRARIES = ("torchvision.models", "timm", "segmentation_models_pytorch", "pretrainedmodels", "efficientnet_pytorch")


@dataclass(frozen=True, slots=True)
class Contents:
    """Is it in the network: True, False, or None where that is not known."""

    batch_norm: bool | None
    dropout: bool | None
    frozen: bool = False
    """Code of this network puts its batch norms in eval mode for good."""
    switches: bool = False
    """Code of it that another file holds calls eval() or train() itself."""

    @property
    def sensitive(self) -> bool | None:
        """Does eval() change what this network computes."""
        if self.batch_norm or self.dropout:
            return True
        return False if self.batch_norm is False and self.dropout is False else None


UNKNOWN = Contents(None, None)


def is_module_class(script: Script, node: ast.ClassDef) -> bool:
    """Does a class derive from nn.Module, as far as its names tell."""
    return node in _module_classes(script)


@lru_cache(maxsize=8)
def _module_classes(script: Script) -> frozenset[ast.ClassDef]:
    found: set[ast.ClassDef] = set()
    size = -1
    while len(found) != size:
        size = len(found)
        names = {node.name for node in found}
        for node in script.of_type(ast.ClassDef):
            if any(_is_module_base(script.resolve(one), names) for one in node.bases):
                found.add(node)
    return frozenset(found)


def _is_module_base(name: str, own: set[str]) -> bool:
    last = name.rpartition(".")[2]
    return last in own or last.endswith(("Module", "PreTrainedModel")) or name.startswith("torch.nn.")


def layer_kind(script: Script, node: ast.AST) -> str:
    """The kind of the torch layer that a call constructs, as `vocabulary` knows it; "" for any other node."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    known = vocabulary.is_known(function.attr) if isinstance(function, ast.Attribute) else True
    if not known or (isinstance(function, ast.Name) and function.id not in script.imports):
        return ""
    name = script.resolve(function)
    kind = name.rpartition(".")[2]
    return kind if name.startswith("torch.nn.") and kind[:1].isupper() and vocabulary.is_known(kind) else ""


def calls_with_batch_norm(script: Script) -> Sequence[ast.Call]:
    """The calls that may construct a batch norm of torch, or are given the class, and others."""
    renamed = [name for name, meaning in script.imports.items() if meaning.rpartition(".")[2] in BATCH_NORMS]
    return calls_with(script, "BatchNorm", *(name for name in renamed if "BatchNorm" not in name))


def argument(call: ast.Call, kind: str, name: str) -> ast.expr | None:
    """What a constructor of this kind is given for a parameter; None where its default is in force."""
    given = {one.arg: one.value for one in call.keywords}
    names = list(vocabulary.positional(kind))
    index = names.index(name) if name in names else len(call.args)
    return call.args[index] if index < len(call.args) else given.get(name)


@lru_cache(maxsize=8)
def classes(script: Script) -> dict[str, ast.ClassDef]:
    """Every class of a file by its name; of two of one name the last."""
    return {one.name: one for one in script.of_type(ast.ClassDef)}


def is_torch_class(script: Script, node: ast.ClassDef) -> bool:
    """Does a class surely derive from nn.Module: through classes of this file, of torch.nn, or LightningModule."""
    own = classes(script)
    todo, seen = [node], {node}
    while todo:
        for name in (script.resolve(one) for one in todo.pop().bases):
            if name.startswith("torch.nn.") or name.rpartition(".")[2] in ("LightningModule", "PreTrainedModel"):
                return True
            if name in own and own[name] not in seen:
                seen.add(own[name])
                todo.append(own[name])
    return False


def contents(script: Script, value: ast.expr | None) -> Contents:
    """What is known of the network that an expression builds."""
    if value is None:
        return UNKNOWN
    core = unwrapped(value)
    if not isinstance(core, ast.Call):
        return UNKNOWN
    name = script.resolve(core.func)
    definition = _definitions(script).get(dotted(core.func))
    if definition is not None:
        return _closure(script, definition)
    if is_library_network(name, core):
        return Contents(True, None) if _names_batch_norm(name, core) else UNKNOWN
    if name.startswith("torch.nn."):
        return _closure(script, core)
    return _beside(script, name, _FILES)


def defined(script: Script, name: str) -> Contents:
    """What the class or function of this name, at the top level of the file, holds."""
    definition = _definitions(script).get(name)
    return _closure(script, definition) if definition is not None else UNKNOWN


def is_library_network(name: str, call: ast.Call) -> bool:
    """Is this a call that builds a network of a known library, in training mode."""
    return name.startswith(LIBRARIES) or (name == "torch.hub.load" and "vision" in _first_string(call))


def _names_batch_norm(name: str, call: ast.Call) -> bool:
    words = [name.rpartition(".")[2].lower(), *(text.lower().rpartition("/")[2] for text in _strings(call))]
    return any(WITH_BATCH_NORM.match(word) and not WITHOUT_BATCH_NORM.search(word) for word in words) and not any(
        one.arg == "norm_layer" for one in call.keywords
    )


def _strings(call: ast.Call) -> Iterator[str]:
    for value in (*call.args, *(one.value for one in call.keywords)):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def _first_string(call: ast.Call) -> str:
    return next(_strings(call), "")


@lru_cache(maxsize=16)
def _definitions(script: Script) -> dict[str, ast.ClassDef | Function]:
    """Functions and classes at the top level, by name."""
    return {node.name: node for node in script.tree.body if isinstance(node, (ast.ClassDef, *FUNCTIONS))}


def _beside(script: Script, name: str, depth: int) -> Contents:
    """What a class or function of another file holds. Of a library's base of models it is not known, wherever it is."""
    if name.rpartition(".")[2] == "PreTrainedModel":
        return UNKNOWN
    other, own = (script.sibling(name) or _starred(script, name) if depth and name else None) or (script, "")
    definition = _definitions(other).get(own)
    if definition is None or (depth < _FILES and not _builds_one_network(other, definition)):
        return UNKNOWN
    return _held(other, definition, depth - 1)


@lru_cache(maxsize=64)
def _held(script: Script, definition: ast.ClassDef | Function, depth: int) -> Contents:
    """What a class or function holds, for code of another file, and whether it calls eval() or train()."""
    roots = reached(script, definition)
    known = _inside(script, roots, depth)
    calls = (node for root in roots for node in walk(root) if isinstance(node, ast.Call))
    return Contents(known.batch_norm, known.dropout, known.frozen, known.switches or any(map(switch, calls)))


def _builds_one_network(script: Script, definition: ast.ClassDef | Function) -> bool:
    """Is it a class of modules, or a function that makes the same choice each time."""
    if isinstance(definition, ast.ClassDef):
        return is_module_class(script, definition)
    return not any(isinstance(one, ast.If | ast.IfExp | ast.Match) for one in walk(definition))


def _starred(script: Script, name: str) -> tuple[Script, str] | None:
    """Where a name comes from that no statement binds: `from models import *`."""
    if "." in name:
        return None
    return next((found for one in script.stars if (found := script.sibling(f"{one}{name}")) is not None), None)


@lru_cache(maxsize=64)
def _closure(script: Script, start: ast.AST) -> Contents:
    return _inside(script, reached(script, start), _FILES)


def reached(script: Script, start: ast.AST) -> list[ast.AST]:
    """A class, function or expression, and every class and function at the top level that it names, directly or not."""
    table = _definitions(script)
    seen: dict[ast.AST, None] = {start: None}
    todo = [start]
    while todo:
        for node in walk(todo.pop()):
            found = table.get(node.id) if isinstance(node, ast.Name) else None
            if found is not None and found not in seen:
                seen[found] = None
                todo.append(found)
    return list(seen)


def _built(root: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, but for names of layers that no network holds.

    They are only compared with, in the arguments of isinstance, or built, called and dropped: `nn.BatchNorm1d(8)(x)`.
    """
    probes: set[ast.AST] = set()
    for node in walk(root):
        if isinstance(node, ast.Call):
            if dotted(node.func) in ("isinstance", "issubclass", "type"):
                probes.update(part for one in node.args for part in walk(one))
            if isinstance(node.func, ast.Call):
                probes.add(node.func.func)
        if node not in probes:
            yield node


def _inside(script: Script, roots: list[ast.AST], depth: int) -> Contents:
    batch_norm = dropout = freezes = False
    elsewhere: dict[str, None] = {}
    own = _definitions(script)
    for node in (node for root in roots for node in _built(root)):
        if isinstance(node, ast.Name | ast.Attribute):
            last = script.resolve(node).rpartition(".")[2]
            if last not in own:
                batch_norm, dropout = batch_norm or last in BATCH_NORMS, dropout or last in vocabulary.DROPOUTS
        if isinstance(node, ast.Call) and _is_opaque(script, node, own):
            name = script.resolve(node.func)
            batch_norm = batch_norm or (is_library_network(name, node) and _names_batch_norm(name, node))
            elsewhere[name] = None
        if isinstance(node, ast.ClassDef):
            others = [one for one in node.bases if not _is_plain_base(script, one, own)]
            elsewhere.update(dict.fromkeys(script.resolve(one) for one in others))
        freezes = freezes or (isinstance(node, *[FUNCTIONS]) and node.name == "train")
    found = Contents(batch_norm, dropout, freezes)
    for name in elsewhere:
        # What other files hold is looked at only where it matters: where no batch norm was met.
        found = _together(found, UNKNOWN if found.batch_norm else _beside(script, name, depth))
    return found


def _together(one: Contents, other: Contents) -> Contents:
    norm = one.batch_norm or other.batch_norm or (None if None in (one.batch_norm, other.batch_norm) else False)
    drop = one.dropout or other.dropout or (None if None in (one.dropout, other.dropout) else False)
    return Contents(norm, drop, one.frozen or other.frozen, one.switches or other.switches)


def _is_plain_base(script: Script, node: ast.expr, own: dict[str, ast.ClassDef | Function]) -> bool:
    name = script.resolve(node)
    return (
        name in own or name.startswith("torch.nn.") or name.rpartition(".")[2] in ("LightningModule", "ABC", "object")
    )


def _is_opaque(script: Script, call: ast.Call, own: dict[str, ast.ClassDef | Function]) -> bool:
    """May this call build a layer that the file does not show."""
    name = script.resolve(call.func)
    root = name.partition(".")[0]
    imported = root in _roots(script) and name not in own
    if isinstance(call.func, ast.Name) and not imported and name not in own and name[:1].isupper():
        return bool(script.stars)
    return imported and root not in ("torch", "math", "numpy", "einops", "typing", "functools", "collections", "copy")


@lru_cache(maxsize=8)
def _roots(script: Script) -> frozenset[str]:
    return frozenset(one.partition(".")[0] for one in script.imports.values())


def derives_beside(script: Script, node: ast.ClassDef, depth: int = _FILES) -> bool:
    """Does a class derive from nn.Module through a file beside this one; asked last, as that is parsed for it."""
    own, todo, foreign = classes(script), [node], dict[str, None]()
    for one in todo:
        for name in map(script.resolve, one.bases):
            if name not in own:
                foreign[name] = None
            elif own[name] not in todo:
                todo.append(own[name])
    return any(_is_module_beside(script, name, depth) for name in foreign if name)


@lru_cache(maxsize=64)
def _is_module_beside(script: Script, name: str, depth: int) -> bool:
    """Is this dotted name that of a class of modules in a file beside this one."""
    found = (script.sibling(name) or _starred(script, name)) if depth else None
    definition = classes(found[0]).get(found[1]) if found is not None else None
    if found is None or definition is None:
        return False
    return is_torch_class(found[0], definition) or derives_beside(found[0], definition, depth - 1)


def batch_normed_networks(script: Script) -> Iterator[tuple[str, ast.expr, Scope]]:
    """Each network with batch norm that the file builds outside a module class: its name, its value, its scope."""
    for scope in scopes(script).values():
        owner = script.class_of(scope.node)
        if owner is not None and is_module_class(script, owner) and not _is_managed(script, owner):
            continue
        for name, values in scope.bound.items():
            for value in values:
                if value is not None and contents(script, value).batch_norm:
                    yield name, value, scope


def _is_managed(script: Script, owner: ast.ClassDef) -> bool:
    return any(script.resolve(one).rpartition(".")[2] == "LightningModule" for one in owner.bases)


def network_of(script: Script, node: ast.AST, name: str) -> ast.expr | None:
    """The expression that built the network of this name: in the scope of a node, or at the top level."""
    here = scope_of(script, node)
    found = here.value(name)
    if found is None and name not in here.bound and name not in here.parameters():
        found = scopes(script)[script.tree].value(name)
    return found


def is_unit_test(script: Script) -> bool:
    """Does the file test software: by its name, or by what it imports."""
    file = script.path.replace("\\", "/").rpartition("/")[2]
    roots = {name.partition(".")[0] for name in script.imports.values()}
    named = file.startswith("test_") and any(one.name.startswith("test") for one in functions(script))
    return file.endswith("_test.py") or file == "conftest.py" or named or bool(roots & {"pytest", "unittest"})
