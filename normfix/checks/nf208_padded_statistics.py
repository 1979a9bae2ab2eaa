"""NF208 padded-statistics: a norm over the positions of padded sequences, padding included."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.engine import SOURCE, Facts, Rule, on_call
from normfix.findings import Problem, Severity
from normfix.graph import Call
from normfix.script import Script

RULE = Rule("NF208", "padded-statistics", Severity.INFO, readers=SOURCE, enabled=False)
OVER_POSITIONS = {"BatchNorm1d", "LazyBatchNorm1d", "InstanceNorm1d", "GroupNorm"}
SIGNS = ("mask", "masks", "length", "lengths", "lens")


@on_call(RULE, OVER_POSITIONS)
def padded_statistics(call: Call, facts: Facts) -> Iterator[Problem]:
    """A forward that takes a mask or lengths has padded input; statistics over positions then take in the padding."""
    script = facts.script
    if script is None or not isinstance(call.producer(), Call) or not call.producer().kind.startswith("Conv1d"):
        return
    sign = _sign(script, call.layer.owner or facts.graph.name)
    if sign and norms.uses_input_statistics(call.layer, training=True):
        yield Problem(
            call.layer.site,
            f"`{call.layer.name}` takes statistics over positions, padding included: `forward` has `{sign}`",
            help="Compute the statistics over the valid positions, or use a layer norm over features",
        )


def _sign(script: Script, name: str) -> str:
    """The parameter of this class's forward that tells of padding."""
    for owner in script.of_type(ast.ClassDef):
        for method in owner.body if owner.name == name else ():
            if isinstance(method, ast.FunctionDef) and method.name == "forward":
                names = [argument.arg for argument in (*method.args.args, *method.args.kwonlyargs)]
                return next((one for one in names if one.endswith(SIGNS)), "")
    return ""
