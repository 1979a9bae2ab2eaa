"""A report with what formats stumble over: odd names, places of every kind, failures."""

from normfix.findings import Failure, Finding, Report, Severity
from normfix.graph import Origin, Site

SITE = Site(Origin("src/b.py", 9, 1, 9, 5))
FINDINGS = [
    Finding("NF301", "bias-before-norm", Severity.WARNING, "`conv` has a bias", "src/a b.py", 3, 5, 4, 9,
            help="Pass `bias=False`", related=[("the norm", SITE), ("its call", Site(module="net.bn"))]),
    Finding("NF301", "bias-before-norm", Severity.WARNING, "`conv` has a bias", "src/a b.py", 8, 5, 8, 9),
    Finding("NF403", "uncalled-mode", Severity.ERROR, "50 % <&>\"'\n\x1b,:", "ünï,:%<&>\".py", 1, 1, 1, 2),
    Finding("NF403", "uncalled-mode", Severity.ERROR, "in a cell", "n.ipynb", 2, 1, 2, 9, cell=3),
    Finding("NF204", "starved-statistic", Severity.INFO, "in a model", "", module="features.0"),
    Finding("NF701", "non-finite-statistics", Severity.ERROR, "in a file", "/tmp/m.onnx", module="node_3"),
    Finding("NF902", "unreadable-file", Severity.ERROR, "cannot be parsed", "c.py", 1, 1),
    Finding("NF902", "unreadable-file", Severity.ERROR, "cannot be decoded", "d.py"),
]  # fmt: skip
REPORT = Report(FINDINGS, errors=[Failure("e.py", "normfix failed on this file: KeyError: '<x>'")])
