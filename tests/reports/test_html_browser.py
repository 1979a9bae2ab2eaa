"""The HTML page in a real Chromium: it is quiet, works, loads nothing, and runs nothing that a name says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("leather")

from browser import CHROMIUM, DRIVER, Browser, chromium
from sample_networks import about, norms_of, residual

from normfix.findings import Abstention, Failure, Report
from normfix.graph import LayerGraph
from normfix.reports import html
from normfix.reports.html.environment import visible
from normfix.rewrites import Change, Proof, Refusal, Rewrite

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)"
)

HOSTILE = (
    "<script>pwned()</script>",
    "</script><script>pwned()</script>",
    "<!--<script>",
    "<img src=x onerror=pwned()>",
    "<svg onload=pwned()>",
    '"><b onmouseover=pwned()>',
    "' onfocus=pwned() autofocus='",
    "javascript:pwned()",
    "{{ pwned() }}",
    "{% include 'x' %}",
    "${pwned()}",
    "`<i>`",
    "\\N\\G\\L<b>",
    "&lt;b&gt;&#60;i&#62;",
    "</style><style>*{display:none}",
    "</title></head></html>",
    "]]><b>",
    "\u202egnp.exe\u2028\u2029",
    "\x00\x1b[31m\r\n\t",
    "https://example.invalid/x.js",
)


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def show(window: Browser, folder: Path, document: html.Document) -> None:
    html.write(folder / "page.html", document)
    window.open(folder / "page.html")


def rewrite(graph: LayerGraph) -> Rewrite:
    applied = [Change(layer.name, f"folded into `{layer.name}`") for layer in norms_of(graph)]
    proof = Proof(True, 5e-16, 4e-7, 3e-7, ("a note about `<b>`",))
    return Rewrite(None, applied, [Refusal("head", "`head` is read twice")], proof)


def test_every_section_opens_without_a_complaint_or_a_request(window: Browser, tmp_path: Path) -> None:
    graph = residual(12)
    report = about(norms_of(graph), text="conv = nn.Conv2d(3, 8, 3)\n" * 40)
    report.undecided.append(Abstention("NF301", "conv1", "`bias` is not known"))
    report.errors.append(Failure("broken.py", "cannot be parsed"))
    outputs = [html.Outputs("output", [0.0, 1.0, 2.0], [0.0, 1.0, 2.1])]
    document = html.Document(
        "a title", report, graph, residual(12, folded=True), rewrite=rewrite(graph), outputs=outputs
    )
    show(window, tmp_path, document)
    assert window.complaints() == []
    assert window.requests() == [(tmp_path / "page.html").as_uri()]
    titles = window.run("return [...document.querySelectorAll('h2')].map(one => one.textContent)")
    assert {"Findings", "Norms", "Undecided", "Could not be read", "The network, before and after", "Proven"} <= set(
        titles
    )
    assert window.run("return document.querySelectorAll('.canvas svg').length") == 2


def test_filters_leave_the_findings_that_match(window: Browser, tmp_path: Path) -> None:
    graph = residual(12)
    show(window, tmp_path, html.Document("filters", report=about(norms_of(graph)), graph=graph))
    visible = "return document.querySelectorAll('.finding:not([hidden])').length"
    assert window.run(visible) == 12
    window.run("document.querySelector('input[value=error]').click()")
    assert window.run(visible) == 8
    window.run("document.querySelector('#rule').value = 'NF301'")
    window.run("document.querySelector('#rule').dispatchEvent(new Event('input', {bubbles: true}))")
    assert window.run(visible) == 4
    window.run("document.querySelector('#search').focus()")
    window.press(*"BN0 blocks.0")
    assert window.run(visible) == 1
    assert window.run("return document.querySelector('#shown').value") == "1 of 12"
    window.press(*"zzz")
    assert window.run("return [document.querySelector('#nothing').hidden, arguments.length]") == [False, 0]


def test_modules_open_and_close_by_keyboard_and_never_show_too_many(window: Browser, tmp_path: Path) -> None:
    show(window, tmp_path, html.Document("keys", graph=residual(300)))
    shown = "return Number(document.querySelector('.canvas').dataset.nodes)"
    before = window.run(shown)
    window.run("document.querySelector('.node.module').focus()")
    window.press("\ue007")
    window.until(f"Number(document.querySelector('.canvas').dataset.nodes) > {before}")
    assert window.run("return document.activeElement.getAttribute('aria-expanded')") == "true"
    window.press("\ue007")
    window.until(f"Number(document.querySelector('.canvas').dataset.nodes) === {before}")
    for _ in range(6):
        window.run("document.querySelector('[data-do=open]').click()")
        assert window.run(shown) <= 200
    refused = """for (const one of document.querySelectorAll('.node.module')) {
        one.dispatchEvent(new MouseEvent('click', {bubbles: true}));
        if (document.querySelector('#picture-status').textContent.includes('too many')) return true;
    } return false;"""
    window.until(f"(() => {{ {refused} }})()")
    assert window.run(shown) <= 200
    window.run("document.querySelector('[data-do=close]').click()")
    assert window.run(shown) < before
    assert window.complaints() == []


def test_a_flat_network_of_a_thousand_layers_is_shown_in_steps(window: Browser, tmp_path: Path) -> None:
    graph = residual(300, rename=lambda name: name.replace(".", "_"))
    for call in graph.calls:
        call.site = call.layer.site = type(call.site)(module=call.layer.name.replace(".", "_"))
    show(window, tmp_path, html.Document("flat", graph=graph))
    assert 2 <= window.run("return Number(document.querySelector('.canvas').dataset.nodes)") <= 200
    assert "steps 1 to" in window.run("return document.querySelector('.canvas').textContent")


def test_two_hundred_hostile_names_stay_text(window: Browser, tmp_path: Path) -> None:
    graph = residual(200, rename=lambda name: f"{name}{HOSTILE[hash_of(name)]}")
    text = "\n".join(f"self.x = {one!r}" for one in HOSTILE)
    report = about(norms_of(graph), path=f"src/{HOSTILE[0]}.py", text=text)
    for number, finding in enumerate(report.findings):
        object.__setattr__(finding, "path", f"{HOSTILE[number % len(HOSTILE)]}{number}.py")
    report.sources = {finding.path: text for finding in report.findings}
    report.undecided += [Abstention(one, one, one) for one in HOSTILE]
    report.errors += [Failure(one, one) for one in HOSTILE]
    outputs = [html.Outputs(one, [0.0, 1.0], [0.0, 1.0]) for one in HOSTILE]
    document = html.Document(
        HOSTILE[1], report, graph, residual(200, folded=True), rewrite=rewrite(graph), outputs=outputs
    )
    show(window, tmp_path, document)
    for _ in range(4):
        window.run("document.querySelector('[data-do=open]').click()")
    assert window.complaints() == []
    assert window.requests() == [(tmp_path / "page.html").as_uri()]
    assert window.run("return typeof pwned") == "undefined"
    # The page's own three scripts and one style sheet, and the library that the second one unpacks to.
    assert window.run("return [document.scripts.length, document.querySelectorAll('style').length]") == [4, 1]
    strange = "b, i, img, [onload], [onerror], [onfocus], [onmouseover], a[href^=javascript]"
    assert (
        window.run(
            f"return [...document.querySelectorAll('{strange}')].filter(one => !one.closest('.chips, .help')).length"
        )
        == 0
    )
    rows = window.run("return [...document.querySelectorAll('.norms tbody tr')].map(row => row.cells[1].textContent)")
    shown = [str(visible(layer.name)) for layer in norms_of(graph)]
    assert rows == shown
    assert window.run("return document.querySelectorAll('.finding').length") == len(report.findings) == 200
    assert window.run("return document.title") == f"{HOSTILE[1]}"


def hash_of(name: str) -> int:
    return sum(map(ord, name)) % len(HOSTILE)


def test_without_scripts_the_table_holds_the_norms(window: Browser, tmp_path: Path) -> None:
    graph = residual(12)
    html.write(tmp_path / "page.html", html.Document("quiet", report=about(norms_of(graph)), graph=graph))
    window.emulate("Emulation.setScriptExecutionDisabled", value=True)
    try:
        window._post("url", {"url": (tmp_path / "page.html").as_uri()})
        tree = window.emulate("DOMSnapshot.captureSnapshot", computedStyles=[])
    finally:
        window.emulate("Emulation.setScriptExecutionDisabled", value=False)
    assert {"stages.0.blocks.0.bn0", "8x16x14x14", "NF301"} <= set(tree["strings"])
    assert "The picture needs scripts; the table of norms below holds the same facts." in tree["strings"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 640, 1280])
def test_nothing_is_wider_than_the_window(window: Browser, tmp_path: Path, scheme: str, width: int) -> None:
    graph = residual(12)
    window.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    window.resize(width, 800)
    show(window, tmp_path, html.Document("x" * 200, report=about(norms_of(graph)), graph=graph, rewrite=rewrite(graph)))
    assert window.run("return document.documentElement.scrollWidth") <= width
    paper = window.run("return getComputedStyle(document.querySelector('section')).backgroundColor")
    ink = window.run("return getComputedStyle(document.body).color")
    assert (brightness(paper) > brightness(ink)) == (scheme == "light")


def brightness(color: str) -> int:
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))


def test_the_print_holds_what_was_folded_away(window: Browser, tmp_path: Path) -> None:
    graph = residual(60)
    show(window, tmp_path, html.Document("print", graph=graph))
    assert window.run("return document.querySelectorAll('details:not([open])').length") > 0
    window.run("dispatchEvent(new Event('beforeprint'))")
    assert window.run("return document.querySelectorAll('details:not([open])').length") == 0


def test_the_print_leaves_out_the_plots_of_hundreds_of_norms(window: Browser, tmp_path: Path) -> None:
    show(window, tmp_path, html.Document("print", graph=residual(120)))
    window.run("dispatchEvent(new Event('beforeprint'))")
    assert window.run("return document.querySelectorAll('details.held[open]').length") == 0


def test_the_report_that_found_nothing_says_so(window: Browser, tmp_path: Path) -> None:
    show(window, tmp_path, html.Document("empty", report=Report()))
    assert window.complaints() == []
    assert "Nothing found" in window.run("return document.querySelector('#findings').textContent")
