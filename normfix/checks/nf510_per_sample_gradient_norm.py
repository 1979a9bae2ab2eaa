"""NF510 per-sample-gradient-norm: batch norm where every sample needs a gradient of its own (DP-SGD, vmap)."""

import ast
from collections.abc import Iterator

from normfix import norms
from normfix.engine import LIVE, SOURCE, Facts, Rule, on_graph, on_script
from normfix.findings import Problem, Severity
from normfix.graph import LayerGraph
from normfix.script import Script, walk
from normfix.usage.modules import is_unit_test
from normfix.usage.networks import contents, network_of
from normfix.usage.steps import called_name, dotted, scope_of, subject, unwrapped

RULE = Rule("NF510", "per-sample-gradient-norm", Severity.ERROR, readers=SOURCE | LIVE)
PRIVATE = frozenset({"make_private", "make_private_with_epsilon"})
REPAIRS = ("ModuleValidator.fix", "convert_batchnorm_modules", "replace_all_batch_norm_modules_", "batch_norm_without")
FUNCTIONAL = ("torch.func.functional_call", "torch.func.stack_module_state", "functorch.make_functional")
FUNCTIONAL_BUFFERS = "functorch.make_functional_with_buffers"


@on_script(RULE, words=("opacus|vmap", "opacus|functional_call|stack_module_state|make_functional"))
def per_sample_gradient_norm(script: Script, facts: Facts) -> Iterator[Problem]:
    """A network with batch norm that is handed to Opacus, or made functional for vmap."""
    private = "opacus" in script.text
    if is_unit_test(script) or any(word in script.text for word in REPAIRS):
        return
    for call in script.of_type(ast.Call):
        model = _private_model(call) if private else None
        if model is None and "vmap" in script.text and script.resolve(call.func) in (*FUNCTIONAL, FUNCTIONAL_BUFFERS):
            model, private_here = (call.args[0] if call.args else None), False
        else:
            private_here = model is not None
        name = subject(model) if model is not None else ""
        if not name or not contents(script, _network(script, call, name)).batch_norm:
            continue
        if not private_here and f"{name}.eval()" in script.text:
            continue
        yield Problem(
            script.site(call),
            f"`{name}` holds batch norm, which mixes the samples of a batch: there is no gradient for a single one"
            + (", and Opacus refuses it" if private_here else ", and vmap cannot update its buffers"),
            help="Use group norm (`normfix swap --to group`)",
            severity=Severity.ERROR if private_here else Severity.INFO,
        )


def _network(script: Script, call: ast.Call, name: str) -> ast.expr | None:
    """What built the model: where the call gives its own result the same name, what had the name before."""
    around = script.parents[call]
    values = scope_of(script, call).bound.get(name, [])
    renamed = isinstance(around, ast.Assign) and name in {dotted(one) for one in walk(around.targets[0])}
    if renamed:
        built = [one for one in values if one not in (None, call) and dotted(unwrapped(one)) != name]
        return built[0] if len(built) == 1 and values.count(None) + values.count(call) == 1 else None
    return network_of(script, call, name)


@on_graph(RULE)
def per_sample_in_model(graph: LayerGraph, facts: Facts) -> Iterator[Problem]:
    """Batch norm in a live model that Opacus has wrapped already."""
    if any(name.startswith("GradSampleModule") for name in graph.wrappers):
        for layer in graph.layers:
            if layer.kind in norms.BATCH:
                yield Problem(
                    layer.site,
                    f"`{layer.name}` mixes the samples of a batch, but `GradSampleModule` computes a gradient for "
                    "each: there is none",
                    help="Use group norm (`normfix swap --to group`)",
                )


def _private_model(call: ast.Call) -> ast.expr | None:
    """The model of `engine.make_private(module=model, ...)`, `GradSampleModule(model)`, `PrivacyEngine(model, ...)`."""
    last = called_name(call)
    if last in PRIVATE:
        return next((one.value for one in call.keywords if one.arg == "module"), call.args[0] if call.args else None)
    return call.args[0] if last in ("GradSampleModule", "PrivacyEngine") and call.args else None
