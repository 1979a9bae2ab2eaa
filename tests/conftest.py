"""What the tests share: the shim that lets torchvision and timm import beside a CPU build of torch."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
