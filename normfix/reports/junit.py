"""JUnit's XML, which build servers read: a suite for each file, a failed case for each finding."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree as xml

from normfix.findings import Finding, Report
from normfix.reports import Options
from normfix.reports.concise import place, printable


def render(report: Report, options: Options) -> str:
    """One suite per file with findings; files that could not be read are errors. Without either, one case passes."""
    root = xml.Element("testsuites", name="normfix")
    for path, findings in groupby(report.findings, key=lambda finding: finding.path):
        _suite(root, path, list(findings))
    for failure in report.errors:
        suite = _element(root, "testsuite", name=failure.path, tests="1", failures="0", errors="1")
        case = _element(suite, "testcase", name="normfix", classname=failure.path)
        _element(case, "error", message=failure.reason)
    if not len(root):
        suite = _element(root, "testsuite", name="normfix", tests="1", failures="0", errors="0")
        _element(suite, "testcase", name="no findings", classname="normfix")
    root.set("tests", str(len(report.findings) + len(report.errors) or 1))
    root.set("failures", str(len(report.findings)))
    root.set("errors", str(len(report.errors)))
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: xml.Element, path: str, findings: list[Finding]) -> None:
    count = str(len(findings))
    suite = _element(root, "testsuite", name=path or "model", tests=count, failures=count, errors="0")
    for finding in findings:
        name = f"{finding.code} {finding.slug}"
        case = _element(suite, "testcase", name=name, classname=path or finding.module or "model")
        if finding.line is not None:
            case.set("line", str(finding.line))
        failure = _element(case, "failure", type=str(finding.severity), message=finding.message)
        failure.text = f"{place(finding)}: {printable(finding.message)}" + (
            f" ({printable(finding.help)})" if finding.help else ""
        )


def _element(parent: xml.Element, tag: str, **attributes: str) -> xml.Element:
    """A child whose attributes hold no character that XML forbids."""
    return xml.SubElement(parent, tag, {name: printable(value) for name, value in attributes.items()})
