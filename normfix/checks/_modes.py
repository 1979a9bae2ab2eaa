"""Which mode a norm runs in, for the purpose at hand."""

import ast

from normfix import norms
from normfix.engine import Facts
from normfix.graph import Call, Layer, Shape, Undecided, Unknown, known


def trains(layer: Layer, facts: Facts) -> bool:
    """Does this layer run in train mode. Raises `Undecided`.

    Source is taken to be trained, unless its class keeps layers in eval. A model checked for training whose layers
    are all in eval is taken to be switched by the training loop; one layer in eval among others that train is frozen.
    """
    if facts.purpose == "inference":
        return False
    if facts.reader == "source":
        return not frozen(layer, facts)
    if facts.purpose == "training":
        return known(layer.training) or not frozen(layer, facts)
    return known(layer.training)


def frozen(layer: Layer, facts: Facts) -> bool:
    """Is this layer kept in eval mode while the network around it trains. Raises `Undecided`."""
    if layer.training is not False:
        owner = layer.owner or facts.graph.name
        if facts.reader == "source" and _keeps_layers_in_eval(owner, facts):
            raise Undecided(
                f"`{owner}` switches layers to eval in a method of its own, and may keep `{layer.name}` there"
            )
        return False
    return facts.reader == "source" or any(other.training is True for other in facts.graph.layers)


def takes_statistics(layer: Layer, facts: Facts) -> bool:
    """Does this norm normalise with statistics of its input, in the mode it runs in. Raises `Undecided`."""
    if layer.kind not in norms.TRACKING and layer.kind not in norms.FROZEN:
        return True
    return norms.uses_input_statistics(layer, trains(layer, facts))


def planned(shape: Shape, facts: Facts) -> Shape:
    """This shape at the batch size of the planned run; axes that the batch was folded into grow with it.

    Raises `Undecided` where the example's batch does not divide the leading axis.
    """
    if facts.batch_size is None or not shape:
        return shape
    example = example_batch(facts)
    if example == 0 or shape[0] % example:
        raise Undecided(f"the leading axis of {shape} is no multiple of the example's batch of {example}")
    return (shape[0] // example * facts.batch_size, *shape[1:])


def example_batch(facts: Facts) -> int:
    """The leading axis that all example inputs agree on. Raises `Undecided`."""
    shapes = [call.shape for call in facts.graph.calls if call.kind == "input"]
    leading = {shape[0] for shape in shapes if not isinstance(shape, Unknown) and shape}
    if len(leading) != 1:
        raise Undecided("the batch size is not known: the inputs do not agree on a leading axis")
    return leading.pop()


def _keeps_layers_in_eval(name: str, facts: Facts) -> bool:
    """Has the class a `train` of its own, or a `forward`, that switches layers to eval."""
    script = facts.script
    if script is None or ".eval(" not in script.text:
        return False
    return any(
        isinstance(method, ast.FunctionDef) and method.name in ("train", "forward") and ".eval(" in ast.unparse(method)
        for owner in script.of_type(ast.ClassDef)
        if owner.name == name
        for method in owner.body
    )


def elements(call: Call, facts: Facts) -> list[int]:
    """How many elements stand behind each of the statistics that this norm call takes in the planned run.

    Raises `Undecided`.
    """
    shape = planned(call.input_shape(), facts)
    processes = facts.world_size or 1 if call.kind in norms.SYNCHRONISED else 1
    training = takes_statistics(call.layer, facts)
    return [one.elements * processes for one in norms.statistics(call.layer, shape, training)]
