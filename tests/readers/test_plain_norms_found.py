"""What rules find in layer norms is found where findings alone are wanted, however their widths are known."""

from pathlib import Path

import pytest

from normfix import lint

HEAD = "import torch\nfrom torch import nn\n\n"
ARGS = "class Args:\n    size = 1\n\n"


def block(
    norm: str = "nn.LayerNorm(config.size)",
    fed_by: str = "nn.Linear(config.size, config.size)",
    given: str = "config",
    before: str = "pass",
    base: str = "nn.Module",
    forward: str = "self.norm(self.proj(x))",
) -> str:
    """A class with a layer in front of a norm."""
    return f"""class Block({base}):
    def __init__(self, {given}):
        super().__init__()
        {before}
        self.proj = {fed_by}
        self.norm = {norm}

    def forward(self, x):
        return {forward}

"""


def top(made: str, before: str = "pass") -> str:
    """A class with one part."""
    return f"""class Top(nn.Module):
    def __init__(self):
        super().__init__()
        {before}
        self.block = {made}

    def forward(self, x):
        return self.block(x)

"""


WIDE = block("nn.LayerNorm(dim)", "nn.Identity()", "dim")
EPS = {
    "nn.LayerNorm(config.size, True)": "a bool by position",
    "nn.LayerNorm(config.size, config.size)": "a width by position",
    "nn.LayerNorm(config.size, config.bn_momentum)": "a momentum by position",
    "nn.LayerNorm(config.size, '1e-5')": "a string by position",
    "nn.LayerNorm(\n            config.size,\n            '1e-5'\n        )": "a string on a line of its own",
    "nn.LayerNorm(config.size, eps='1e-5')": "a string by name",
    "nn.LayerNorm(config.size, eps=0.5)": "a large one",
    "nn.LayerNorm(config.size, eps=0)": "0",
    "nn.LayerNorm(config.size, eps=0e-5)": "0 in another spelling",
    "nn.LayerNorm(config.size, eps=-1e-5)": "a negative one",
    "nn.LayerNorm(config.size, **{'eps': 0})": "among options",
    "nn.LayerNorm(config.size, eps=1e-12, dtype=torch.float16)": "one that float16 does not hold",
    "nn.LayerNorm(config.size, eps=1e-12, dtype=torch.half)": "one that half precision does not hold",
}
FED_BY = {
    "nn.Conv2d(3, config.size, 3)": "a convolution",
    "nn.Conv2d(3, kernel_size=3, out_channels=config.size)": "by name",
    "nn.Conv2d (3, config . size, 3)": "other spaces",
    "nn.ConvTranspose2d(3, config.size, 3)": "a transposed convolution",
    "nn.LazyConv2d(config.size, 3)": "a lazy convolution",
    "getattr(nn, 'Conv2d')(3, config.size, 3)": "by the name of the class",
    "(nn.Conv2d if config.deep else nn.Conv2d)(3, config.size, 3)": "one of two",
    "nn.Linear(config.size, 4 * config.size)": "a multiple",
    "nn.Linear(config.size, config.size + 1)": "one more",
    "nn.Linear(out_features=config.size * 4, in_features=config.size)": "a multiple by name",
    "nn.Linear(int(max(abs(config.size), 1)), 4 * config.size)": "behind nested brackets",
    "nn.LazyLinear(4 * config.size)": "a lazy layer",
    "nn.Embedding(10, 4 * config.size)": "an embedding",
}
WIDTHS = {
    "width = 1": "a number",
    "width: int = 1": "annotated",
    "a, width = 8, 1": "one of two",
    "width, a = 1, 8": "the first of two",
    "(a, width) = (8, 1)": "in brackets",
    "width = config.size; width = 1": "set again",
    "width = config.size; print(width := 1)": "set in an expression",
    "width = config.size; a = width = 1": "set with another",
    "width = config.size\n        a, width = 8, 1": "set again, one of two",
    "width = config.size\n        (a,\n         width) = (8, 1)": "set over two lines",
    "width = config.size\n        (\n            a,\n            width,\n        ) = (8, 1)": "set over five lines",
    "width = config.size\n        (\n            width,\n            a,\n        ) = 1, 8": "the first over lines",
    "width = config.size\n        for width in (1,):\n            pass": "set by a loop",
    "width = (\n            1\n        )": "on a line of its own",
    "width = \\\n            1": "on the next line",
    'a = \'"""\'; b = "it\\"s # "; width = 1': "behind quotes",
}
SOURCES = {
    "another name": "LN = nn.LayerNorm\n\n" + block("LN(1)"),
    "imported as another name": "from torch.nn import (\n    LayerNorm as LN,\n)\n" + block("LN(1)"),
    "looked up": block("getattr(nn, 'LayerNorm')(1)"),
    "looked up in a module of another name": "from torch import nn as N\n" + block("getattr(N, 'LayerNorm')(1)"),
    "looked up in a module that is handed on": block("getattr(N, 'LayerNorm')(1)", before="N = nn"),
    "in a dict": block("dict(ln=nn.LayerNorm)['ln'](1)"),
    "a partial": "from functools import partial\n" + block("partial(nn.LayerNorm, eps=0)(config.size)"),
    "a parameter": block("kind(1)", given="config, kind=nn.LayerNorm") + top("Block(None)"),
    "a helper": "def make(d):\n    return nn.LayerNorm(d)\n\n" + block("make(1)"),
    "a helper on one line": block("make(1)", before="def make(d): return nn.LayerNorm(d)"),
    "a method": block("self.make(1)") + "    def make(self, d):\n        return nn.LayerNorm(d)\n",
    "a lambda": block("make(1)", before="make = lambda d: nn.LayerNorm(d)"),
    "the top level": "norm = nn.LayerNorm(1)\n",
    "a function": "def build():\n    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(1))\n",
    "a class of configurations": block("nn.LayerNorm(1)").replace("Block", "BlockConfig"),
    "a class under a condition": "if True:\n" + "".join(f"    {x}\n" for x in block("nn.LayerNorm(1)").splitlines()),
    "of two of one name": block() + block("nn.LayerNorm(1)"),
    "a default": WIDE.replace("dim):", "dim=1):", 1) + top("Block()"),
    "by position": WIDE + top("Block(1)"),
    "by name": WIDE + top("Block(dim=1)"),
    "unpacked": WIDE + top("Block(*(1,))"),
    "among options": WIDE + top("Block(**{'dim': 1})"),
    "by one of two": WIDE
    + top("Block(config.size)").replace("(self)", "(self, config)")
    + "net = nn.Sequential(Block(1))",
    "a local name": WIDE + top("Block(dim)", "dim = 1"),
    "an attribute": WIDE + top("Block(self.dim)", "self.dim = 1"),
    "a loop": WIDE + top("nn.ModuleList([Block(d) for d in (1, 1)])").replace("block(x)", "block[0](x)"),
    "a partial of the class": "from functools import partial\n" + WIDE + top("partial(Block, 1)()"),
    "a class method": WIDE + "    @classmethod\n    def build(cls):\n        return cls(1)\n\n" + top("Block.build()"),
    "a subclass": WIDE + "class Sub(Block):\n    def __init__(self):\n        super().__init__(1)\n",
    "a function that constructs it": WIDE + "def build():\n    return nn.Sequential(Block(1))\n",
    "the top level constructs it": WIDE + "class Own:\n    pass\n\nnet = nn.Sequential(Block(1))\n",
    "two levels": WIDE.replace("dim)", "sizes)", 1).replace("nn.LayerNorm(dim)", "nn.LayerNorm(sizes)")
    + top("Block(1)"),
    "an object of the file": ARGS + block() + top("Block(Args())"),
    "a local object": ARGS + block() + top("Block(config)", "config = Args()"),
    "an object by another name": ARGS + block() + top("Block(args)", "args = Args()"),
    "an object by name": ARGS + block() + top("Block(config=Args())"),
    "an object that is kept": ARGS + block() + top("Block(self.config)", "self.config = Args()"),
    "an object that a function makes": ARGS + "def make():\n    return Args()\n\n" + block() + top("Block(make())"),
    "an object of a configuration": ARGS.replace("Args", "BlockConfig") + block() + top("Block(BlockConfig())"),
    "an object with a base": ARGS.replace("Args", "Args(nn.Module)") + block() + top("Block(x)", "x = Args()"),
    "the class itself": ARGS + block() + top("Block(Args)"),
    "a class for a configuration": ARGS.replace("Args", "config") + block(given="other"),
    "a base sets it": "class Base(nn.Module):\n    def __init__(self):\n        self.size = 1\n\n"
    + block("nn.LayerNorm(self.size)", base="Base"),
    "a method sets it": block("nn.LayerNorm(self.size)", before="self.set()")
    + "    def set(self):\n        self.size = 1\n",
    "set by its name": block("nn.LayerNorm(self.size)", before="self.size = config.size; setattr(self, 'size', 1)"),
    "the file sets it": "size = 1\n\n" + block("nn.LayerNorm(size)"),
    "from a list": block("nn.LayerNorm(sizes[0])", before="sizes = [1, 1]"),
    "a sum": block("nn.LayerNorm(2 - 1)"),
    "unpacked arguments": block("nn.LayerNorm(*[1])"),
    "a comment between": block("nn.LayerNorm(  # why\n            1,  # one\n        )"),
    "between texts": 'A = """\nx\n"""\n\n' + block("nn.LayerNorm(1)") + 'B = """\nx\n"""\n',
    "an eps that a name stands for": block("nn.LayerNorm(config.size, eps=eps)", before="eps = 0"),
    "an eps that a class is given": block("nn.LayerNorm(config.size, eps=eps)", given="config, eps")
    + top("Block(None, 0)"),
    "an unused norm": block(forward="self.proj(x)"),
    "an unused list": block("nn.ModuleList([nn.LayerNorm(config.size)])", forward="self.proj(x)"),
    "an unused list that is filled": block("nn.ModuleList()", forward="self.proj(x)").replace(
        "\n    def forward", "        self.norm.append(nn.LayerNorm(config.size))\n\n    def forward"
    ),
    "used in a comment": block(forward="self.proj(x)  # self.norm(x)"),
    "used in a text": block(forward='self.proj(x)\n        """self.norm(x)"""'),
    "used where it is no norm": block(forward="self.norms(self.proj(x))", before="self.norms = nn.Identity()"),
    "used elsewhere": block(forward="self.proj(x)")
    + "class Other(nn.Module):\n    def forward(self, x):\n        return self.norm(x)\n",
    "unused under a condition": block("nn.LayerNorm(config.size) if config.deep else None", forward="self.proj(x)"),
    "unused by another name": block("norm", before="norm = nn.LayerNorm(config.size)", forward="self.proj(x)"),
    "a convolution of another name": "from torch.nn import Conv2d as C\n" + block(fed_by="C(3, config.size, 3)"),
    "a lazy layer of another name": "from torch.nn import LazyLinear as L\n" + block(fed_by="L(4 * config.size)"),
    "a linear layer of another name": "L = nn.Linear\n\n" + block(fed_by="L(config.size, 4 * config.size)"),
    "in one container": block(fed_by="nn.Sequential(nn.Conv2d(3, config.size, 3), nn.LayerNorm(config.size))"),
    "a bounded weight": block(fed_by="nn.utils.spectral_norm(nn.Linear(config.size, config.size, bias=False))"),
    "a batch norm beside": block() + "net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))\n",
    "none but by its name": "net = nn.Sequential(nn.Linear(4, 4), getattr(nn, 'BatchNorm1d')(4))\n",
    "none but by a name from a dict": "kinds = {'bn': 'BatchNorm1d'}\n"
    "net = nn.Sequential(nn.Linear(4, 4), getattr(torch.nn, kinds['bn'])(4))\n",
    "none but imported as another name": "from torch.nn import BatchNorm1d as BN\n"
    "net = nn.Sequential(nn.Linear(4, 4), BN(4))\n",
    "a batch norm of another name": "from torch.nn import BatchNorm1d as BN\n"
    + block(before="self.fc = nn.Linear(4, 4); self.bn = BN(4)", forward="self.bn(self.fc(self.norm(self.proj(x))))"),
    "lines that end otherwise": block("nn.LayerNorm(width)", before="a = 1  # one\r        width = 1"),
    "a page break": block() + "\f" + block("nn.LayerNorm(1)").replace("Block", "Other"),
    "a batch norm by its name": block(
        before="kinds = {'bn': 'BatchNorm1d'}; self.fc = nn.Linear(4, 4); self.bn = getattr(nn, kinds['bn'])(4)",
        forward="self.bn(self.fc(self.norm(self.proj(x))))",
    ),
}


def found(text: str, folder: Path, undecided: bool) -> list[tuple[str, int | None]]:
    file = folder / "a.py"
    file.write_text(HEAD + text, encoding="utf-8", newline="")
    return [(one.code, one.line) for one in lint([str(file)], undecided=undecided, jobs=1).findings]


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(block(norm), id=f"eps: {why}") for norm, why in EPS.items()),
        *(pytest.param(block(fed_by=layer), id=f"fed by: {why}") for layer, why in FED_BY.items()),
        *(pytest.param(block("nn.LayerNorm(width)", before=one), id=f"width: {why}") for one, why in WIDTHS.items()),
        *(pytest.param(text, id=why) for why, text in SOURCES.items()),
    ],
)
def test_the_same_is_found_whether_or_not_more_is_asked_for(text: str, tmp_path: Path) -> None:
    everything = found(text, tmp_path, undecided=True)
    assert everything
    assert found(text, tmp_path, undecided=False) == everything
