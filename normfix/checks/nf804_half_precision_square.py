"""NF804 half-precision-square: a hand-written RMS or layer norm that squares its input in the input's own dtype.

In float16 the square of anything above 256 is infinite, and the norm gives 0.
"""

import ast
import re
from collections.abc import Iterator

from normfix.checks._definitions import problems
from normfix.checks._spelled import may_define_module
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_node
from normfix.findings import Problem, Severity
from normfix.graph import LayerGraph, Undecided
from normfix.lazy import pattern
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.modules import classes, derives_beside, is_module_class
from normfix.usage.steps import dotted

RULE = Rule("NF804", "half-precision-square", Severity.WARNING, readers=SOURCE | LIVE)
NAMES = pattern(r"rms_?norm|layer_?norm", re.IGNORECASE)
UPCASTS = ("float()", "float32", "float64", "double()", "autocast", "upcast", "fp32")


CLASS = pattern(r"class[\s\\]+\w*[nN][oO][rR][mM](?![aA][lL])")
ROOT = pattern(r"\br?sqrt\(|\*\* ?\(?-?0\.5")
DEDENT = pattern(r"\n(?=\S)")
LAST = pattern(r"mean\((?:[^()]*, )?(?:dim=)?(?:-1|[(\[]-1,?[)\]])[,)]")
"""A class called otherwise is one of these where it takes the root of a mean over the last axis."""


def _squares_in_norm(text: str) -> bool:
    """May there be a square in a class that has such a name, as far as the class reaches."""
    for one in CLASS.finditer(text):
        end = text.find("\nclass ", one.end())
        body = text[one.end() : end if end >= 0 else len(text)]
        if ("*" in body or "pow" in body or "square" in body) and not _upcasts(text, one.start()):
            return True
    return False


def _upcasts(text: str, place: int) -> bool:
    """Does the class at the top level that begins here convert what it is given, surely: not in a comment."""
    if place and text[place - 1] not in "\r\n":
        return False
    end = DEDENT.search(text, place + 1)
    lines = text[place : end.start() if end else len(text)].split("\n")
    return any(word in line.partition("#")[0] for line in lines for word in UPCASTS)


@on_node(RULE, ast.ClassDef, words=("*|pow|square", CLASS, _squares_in_norm, may_define_module))
def half_precision_square(node: ast.ClassDef, facts: Facts) -> Iterator[Problem]:
    """The mean of squares of the input, with no conversion to float32 anywhere in the class."""
    script = facts.script
    if script is None or "norm" not in node.name.lower():
        return
    text = ast.unparse(node)
    alike = "pixel" not in node.name.lower() and ROOT.search(text) and LAST.search(text)
    named = NAMES.search(node.name) or alike
    if not named or any(word in text for word in UPCASTS):
        return
    for method in (one for one in node.body if isinstance(one, FUNCTIONS) and one.name != "__init__"):
        inputs = {one.arg for one in (*method.args.posonlyargs, *method.args.args)} - {"self"}
        square = next((one for one in walk(method) if _is_square_of(one, inputs)), None)
        if square is not None and _is_averaged(script, square):
            inherits = not _has_forward(node) and any(dotted(one) in classes(script) for one in node.bases)
            if inherits or not (is_module_class(script, node) or (_has_forward(node) and derives_beside(script, node))):
                return  # the forward of another class may convert what it hands on
            yield Problem(
                script.site(square),
                f"`{script.source(square)}` in `{node.name}` squares its input in the input's own dtype: in float16 "
                "everything above 256 becomes infinite, and the result 0",
                help="Compute in float32 (`x.float()`) and convert the result back, or use the norm of torch",
            )
            return


@on_graph(RULE)
def half_precision_in_model(graph: LayerGraph, facts: Facts) -> Iterator[Problem | Undecided]:
    """The same, in the classes of a live model."""
    yield from problems(half_precision_square, graph, facts, "forward", "norm")


def _has_forward(node: ast.ClassDef) -> bool:
    return any(isinstance(one, FUNCTIONS) and one.name == "forward" for one in node.body)


def _is_square_of(node: ast.AST, inputs: set[str]) -> bool:
    """Is a node `x ** 2`, `x * x`, `x.pow(2)`, `x.square()`, `torch.square(x)` of an input, or of `x - mean`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _is_two(node.right) and _reads(node.left, inputs)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return bool(dotted(node.left)) and dotted(node.left) == dotted(node.right) and _reads(node.left, inputs)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        called = dotted(node.func)
        values = node.args if called.startswith("torch.") else [node.func.value, *node.args]
        if node.func.attr == "pow":
            return len(values) == 2 and _is_two(values[1]) and _reads(values[0], inputs)
        return node.func.attr == "square" and len(values) == 1 and _reads(values[0], inputs)
    return False


def _is_two(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (2, 2.0)


def _reads(node: ast.expr, inputs: set[str]) -> bool:
    core = node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) else node
    return isinstance(core, ast.Name) and core.id in inputs


def _is_averaged(script: Script, square: ast.AST) -> bool:
    """Is the mean of the squares taken, in the same expression or through a name."""
    return any(
        (isinstance(parent, ast.Call) and dotted(parent.func).rpartition(".")[2] in ("mean", "sum"))
        or (isinstance(parent, ast.Attribute) and parent.attr in ("mean", "sum"))
        for parent in script.ancestors(square, ast.expr)
    )
