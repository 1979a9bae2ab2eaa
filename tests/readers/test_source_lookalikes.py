"""What looks like a bias before a norm, and is not: nothing may be claimed of any of these."""

import pytest
from reading import graphs_of, net, redundant

CONV_BN = "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8)"

LOOKALIKES = {
    "the norm is appended under an if": net(
        """
        layers = [nn.Conv2d(3, 8, 3)]
        if normalize:
            layers.append(nn.BatchNorm2d(8))
        layers.append(nn.ReLU())
        self.net = nn.Sequential(*layers)
        """,
        "return self.net(x)",
        ", normalize=True",
    ),
    "one call of a local factory goes without the norm": net(
        """
        def block(c, normalize=True):
            layers = [nn.Linear(c, c)]
            if normalize:
                layers.append(nn.BatchNorm1d(c))
            return layers
        self.net = nn.Sequential(*block(4, normalize=False), *block(4), nn.ReLU())
        """,
        "return self.net(x)",
    ),
    "one call of a method goes without the norm": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(*self.block(4, False), *self.block(4))
            def block(self, c, normalize=True):
                return [nn.Linear(c, c)] + ([nn.BatchNorm1d(c)] if normalize else [])
            def forward(self, x):
                return self.net(x)
    """,
    "bias is a parameter": net(
        "self.conv = nn.Conv2d(3, 8, 3, bias=bias)\nself.bn = nn.BatchNorm2d(8)",
        "return self.bn(self.conv(x))",
        ", bias=True",
    ),
    "bias is an expression of the norm": net(
        "self.conv = nn.Conv2d(3, 8, 3, bias=not use_bn)\nself.bn = nn.BatchNorm2d(8) if use_bn else nn.Identity()",
        "return self.bn(self.conv(x))",
        ", use_bn=True",
    ),
    "bias is inside **options": net(
        "self.conv = nn.Conv2d(3, 8, 3, **options)\nself.bn = nn.BatchNorm2d(8)",
        "return self.bn(self.conv(x))",
        ", **options",
    ),
    "a layer norm follows": net(
        "self.conv = nn.Conv2d(3, 8, 3)\nself.norm = nn.LayerNorm(8)", "return self.norm(self.conv(x))"
    ),
    "a group norm follows": net(
        "self.conv = nn.Conv2d(3, 8, 3)\nself.norm = nn.GroupNorm(2, 8)", "return self.norm(self.conv(x))"
    ),
    "a class of this file has the norm's name": """
        class BatchNorm2d(nn.Module):
            def forward(self, x):
                return x / x.norm()
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = BatchNorm2d()
            def forward(self, x):
                return self.bn(self.conv(x))
    """,
    "an activation stands between": net(CONV_BN, "return self.bn(F.relu(self.conv(x)))"),
    "an activation in place stands between": net(CONV_BN, "x = self.conv(x)\nF.relu_(x)\nreturn self.bn(x)"),
    "an activation layer in place stands between": net(
        CONV_BN + "\nself.act = nn.ReLU(inplace=True)", "x = self.conv(x)\nself.act(x)\nreturn self.bn(x)"
    ),
    "a value is stored into the tensor": net(CONV_BN, "x = self.conv(x)\nx[:, 0] = 1.0\nreturn self.bn(x)"),
    "an augmented assignment stands between": net(CONV_BN, "x = self.conv(x)\nx *= 2\nreturn self.bn(x)"),
    "dropout stands between": net(
        "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(), nn.BatchNorm2d(8))", "return self.net(x)"
    ),
    "the sum of two producers": net(
        "self.a = nn.Conv2d(3, 8, 3)\nself.b = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8)",
        "return self.bn(self.a(x) + self.b(x))",
    ),
    "the output is used twice": net(CONV_BN, "y = self.conv(x)\nreturn self.bn(y) + y"),
    "the output is returned too": net(CONV_BN, "y = self.conv(x)\nreturn self.bn(y), y"),
    "the output is returned in a dict": net(CONV_BN, "y = self.conv(x)\nreturn {'y': y, 'z': self.bn(y)}"),
    "the output is kept on self": net(CONV_BN, "self.last = self.conv(x)\nreturn self.bn(self.last)"),
    "the output goes into a list": net(CONV_BN, "f = []\ny = self.conv(x)\nf.append(y)\nreturn self.bn(y), f"),
    "the output is captured by a hook": net(CONV_BN, "y = self.conv(x)\nkeep(lambda: y)\nreturn self.bn(y)"),
    "a method of the tensor keeps it": net(CONV_BN, "y = self.conv(x)\nz = y.clone()\nreturn self.bn(y) + z"),
    "an early return leaves without the norm": net(
        CONV_BN, "x = self.conv(x)\nif self.raw:\n    return x\nreturn self.bn(x)"
    ),
    "the norm stands under an if": net(CONV_BN, "x = self.conv(x)\nif self.use_bn:\n    x = self.bn(x)\nreturn x"),
    "the norm stands under an and": net(
        CONV_BN, "y = self.conv(x)\nz = self.flag and self.bn(y)\nreturn y if z is None else z"
    ),
    "the norm stands in a conditional expression": net(
        CONV_BN, "y = self.conv(x)\nreturn self.bn(y) if self.flag else y"
    ),
    "the norm may be None": net(
        "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8) if norm else None",
        "x = self.conv(x)\nif self.bn is not None:\n    x = self.bn(x)\nreturn x",
        ", norm=True",
    ),
    "the norm may be Identity": net(
        "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = nn.BatchNorm2d(8) if norm else nn.Identity()",
        "return self.bn(self.conv(x))",
        ", norm=True",
    ),
    "the norm is made by a parameter": net(
        "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = norm_layer(8)",
        "return self.bn(self.conv(x))",
        ", norm_layer=nn.BatchNorm2d",
    ),
    "the norm's parameter is filled in when it is None": net(
        (
            "if norm_layer is None:\n    norm_layer = nn.BatchNorm2d\n"
            "self.conv = nn.Conv2d(3, 8, 3)\nself.bn = norm_layer(8)"
        ),
        "return self.bn(self.conv(x))",
        ", norm_layer=None",
    ),
    "pre-activation: declared beside, run before": net(
        "self.bn1 = nn.BatchNorm2d(8)\nself.conv1 = nn.Conv2d(8, 8, 3)\nself.bn2 = nn.BatchNorm2d(8)\n"
        "self.conv2 = nn.Conv2d(8, 8, 3)",
        "x = self.conv1(F.relu(self.bn1(x)))\nreturn self.conv2(F.relu(self.bn2(F.relu(x))))",
    ),
    "pre-activation in a loop of a list": net(
        "layers = []\nfor _ in range(n):\n    layers += [nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)]\n"
        "self.net = nn.Sequential(*layers)",
        "return self.net(x)",
        ", n=2",
    ),
    "a deployed form calls the convolution alone": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
            def forward_fuse(self, x):
                return self.conv(x)
    """,
    "another method replaces the convolution": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
            def fuse(self):
                self.conv = merged(self.conv, self.bn)
                del self.bn
    """,
    "forward is replaced": net(CONV_BN + "\nself.forward = self.other", "return self.bn(self.conv(x))"),
    "nn is flax": "import flax.linen as nn\n" + net(CONV_BN, "return self.bn(self.conv(x))"),
    "a subclass in the file leaves the norm out": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
        class Bare(Net):
            def forward(self, x):
                return self.conv(x)
    """,
    "a wrapper is used with and without a norm": """
        class Same(nn.Module):
            def __init__(self, i, o):
                super().__init__()
                self.conv = nn.Conv2d(i, o, 3)
            def forward(self, x):
                return self.conv(F.pad(x, (1, 1, 1, 1)))
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.bn = Same(3, 8), Same(8, 8), nn.BatchNorm2d(8)
            def forward(self, x):
                return self.b(self.bn(self.a(x)))
    """,
    "a helper function of a file that is not here": """
        from blocks import conv3x3
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.bn = conv3x3(3, 8), nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
    """,
    "the class freezes its norms": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
            def train(self, mode=True):
                super().train(mode)
                for m in self.modules():
                    if isinstance(m, nn.BatchNorm2d):
                        m.eval()
    """,
    "the norm is put into eval": net(CONV_BN + "\nself.bn.eval()", "return self.bn(self.conv(x))"),
    "the bias is set afterwards": net(CONV_BN + "\nself.conv.bias = shared", "return self.bn(self.conv(x))"),
    "the bias is read": net(CONV_BN, "return self.bn(self.conv(x)) + self.conv.bias.sum()"),
    "the layer is used by a walk over all": net(CONV_BN, "for m in self.children():\n    x = m(x)\nreturn x"),
    "the layer is fetched by a computed name": net(
        CONV_BN, "y = getattr(self, self.which)(x)\nreturn self.bn(self.conv(x)) + y"
    ),
    "the object's insides are used": net(
        CONV_BN, "for m in self._modules.values():\n    x = m(x)\nreturn self.bn(self.conv(x))"
    ),
    "the sequential is walked and every step kept": net(
        "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))",
        "out = []\nfor layer in self.net:\n    x = layer(x)\n    out.append(x)\nreturn out",
    ),
    "the sequential is indexed": net(
        "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))", "y = self.net[0](x)\nreturn self.net(x) + y"
    ),
    "the sequential is sliced": net(
        "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))", "y = self.net[:1](x)\nreturn self.net(x) + y"
    ),
    "a loop leaves before the norm": net(
        CONV_BN,
        "for _ in range(3):\n    x = self.conv(x)\n    if x.sum() > 0:\n        break\n    x = self.bn(x)\nreturn x",
    ),
    "the round before is read": net(
        CONV_BN, "y = x\nfor _ in range(self.n):\n    z = self.bn(y)\n    y = self.conv(z)\nreturn z"
    ),
    "parallel lists out of step": net(
        "self.convs = nn.ModuleList([nn.Conv2d(8, 8, 3) for _ in range(n)])\n"
        "self.bns = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(n)])",
        "for i in range(self.n):\n    x = self.bns[i](x)\n    x = self.convs[i](x)\nreturn x",
        ", n=3",
    ),
    "the last of a list goes without the norm": net(
        "self.convs = nn.ModuleList([nn.Conv2d(8, 8, 3) for _ in range(n)])\n"
        "self.bns = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(n)])",
        "for conv, bn in zip(self.convs, self.bns):\n    x = bn(conv(x))\nreturn self.convs[-1](x)",
        ", n=3",
    ),
    "the norm is skipped in the last round": net(
        "self.convs = nn.ModuleList([nn.Conv2d(8, 8, 3) for _ in range(n)])\n"
        "self.bns = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(n)])",
        (
            "for i, conv in enumerate(self.convs):\n    x = conv(x)\n"
            "    if i < self.n - 1:\n        x = self.bns[i](x)\nreturn x"
        ),
        ", n=3",
    ),
    "a list of unrolled rounds ends without a norm": net(
        "layers = []\nfor i in range(3):\n    layers.append(nn.Conv2d(8, 8, 3))\n    if i < 2:\n"
        "        layers.append(nn.BatchNorm2d(8))\nself.net = nn.Sequential(*layers)",
        "return self.net(x)",
    ),
    "vgg builds with and without": net(
        """
        layers = []
        for v in cfg:
            if v == "M":
                layers += [nn.MaxPool2d(2)]
            else:
                conv = nn.Conv2d(3, v, 3)
                if batch_norm:
                    layers += [conv, nn.BatchNorm2d(v), nn.ReLU()]
                else:
                    layers += [conv, nn.ReLU()]
        self.features = nn.Sequential(*layers)
        """,
        "return self.features(x)",
        ", cfg, batch_norm=False",
    ),
    "the list is changed by position": net(
        (
            "layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)]\n"
            "layers.insert(place, nn.ReLU())\nself.net = nn.Sequential(*layers)"
        ),
        "return self.net(x)",
        ", place=1",
    ),
    "the container is changed by position": net(
        "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))\nself.net.insert(1, nn.ReLU())",
        "return self.net(x)",
    ),
    "the container's element is replaced": net(
        "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))\nself.net[1] = nn.Identity()",
        "return self.net(x)",
    ),
    "the attribute is overwritten": net(
        CONV_BN + "\nif flag:\n    self.bn = nn.Identity()", "return self.bn(self.conv(x))", ", flag=False"
    ),
    "the handler leaves without the norm": net(
        CONV_BN, "y = self.conv(x)\ntry:\n    return self.bn(y)\nexcept RuntimeError:\n    return y"
    ),
    "an unknown base has the forward": """
        class Net(Backbone):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
    """,
    "a nested function reads the output": net(
        CONV_BN, "y = self.conv(x)\ndef late():\n    return y\nreturn self.bn(y), late"
    ),
    "a nested function changes the output": net(
        CONV_BN, "x = self.conv(x)\ndef late():\n    nonlocal x\n    x = F.relu(x)\nlate()\nreturn self.bn(x)"
    ),
    "a hook sees the output": net(CONV_BN + "\nself.conv.register_forward_hook(keep)", "return self.bn(self.conv(x))"),
    "an inherited method that is not here may use the layer": """
        class Net(Backbone):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = nn.BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x)) + self.features(x)
    """,
    "the function around sets the norm": """
        def build(norm):
            BatchNorm = nn.BatchNorm2d if norm else nn.Identity
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv, self.bn = nn.Conv2d(3, 8, 3), BatchNorm(8)
                def forward(self, x):
                    return self.bn(self.conv(x))
            return Net()
    """,
    "another class reaches into the block": net(CONV_BN, "return self.bn(self.conv(x))")
    + "class Other(nn.Module):\n    def __init__(self):\n        self.net, self.norm = Net(), nn.LayerNorm(3)\n"
    "    def forward(self, x):\n        return self.norm(self.net.conv(x))\n",
    "the names are bound twice": """
        try:
            from apex import BatchNorm2d
        except ImportError:
            from torch.nn import BatchNorm2d
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.bn = BatchNorm2d(8)
            def forward(self, x):
                return self.bn(self.conv(x))
    """,
    "one convolution before two norms": net(
        CONV_BN + "\nself.bn2 = nn.BatchNorm2d(8)", "y = self.conv(x)\nreturn self.bn(y) + self.bn2(y)"
    ),
    "one convolution, called twice, once without": net(CONV_BN, "return self.conv(self.bn(self.conv(x)))"),
    "the class changes under the object": net(
        CONV_BN + "\nself.__class__ = other", "return self.bn(self.conv(x))", ", other"
    ),
    "a match leaves without the norm": net(
        CONV_BN,
        "y = self.conv(x)\nmatch self.mode:\n    case 'a':\n        return self.bn(y)\n    case _:\n        return y",
    ),
    "the layer is handed to a function that is not here": net(
        CONV_BN, "return run(self.conv, x) + self.bn(self.conv(x))"
    ),
    "a method that is given away uses it": net(CONV_BN, "y = later(self.other)\nreturn self.bn(self.conv(x)) + y")
    + "    def other(self, x):\n        return self.conv(x)\n",
}


@pytest.mark.parametrize("text", LOOKALIKES.values(), ids=LOOKALIKES)
def test_nothing_is_claimed(text: str) -> None:
    assert redundant(graphs_of(text)) == set()
