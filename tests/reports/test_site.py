"""The rule pages as a site."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from browser import CHROMIUM, DRIVER, chromium

pytest.importorskip("jinja2")

from normfix.engine import EVERYWHERE, Rule, rules
from normfix.errors import UsageError
from normfix.findings import Severity
from normfix.pages import page
from normfix.reports.html import site

RULES = [
    Rule("NF301", "bias-<b>", Severity.ERROR, EVERYWHERE),
    Rule("NF999", "last", Severity.INFO, EVERYWHERE, enabled=False),
]
TEXT = """# title (NF301)

It **is**.

<script>pwned()</script>

## Bad

```python
x < 1
```

[a](javascript:pwned())
"""


@pytest.mark.parametrize("missing", ["markdown_it", "markupsafe"])
def test_what_is_missing_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"pip install \"normfix\[html\]\""):
        site.render(RULES, lambda rule: TEXT)


def test_a_folder_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    with pytest.raises(UsageError, match="cannot make the folder"):
        site.write(tmp_path / "site", RULES, lambda rule: TEXT)


def test_markdown_becomes_html_and_html_stays_text() -> None:
    made = site.render(RULES[:1], lambda rule: TEXT)
    assert "It <strong>is</strong>." in made
    assert '<pre><code class="language-python">x &lt; 1\n</code></pre>' in made
    assert "&lt;script&gt;pwned()&lt;/script&gt;" in made
    assert 'href="javascript:' not in made
    assert "bias-&lt;b&gt;" in made
    assert made.count("<h1>") == 2


def test_one_file_links_within_itself(tmp_path: Path) -> None:
    site.write(tmp_path / "rules.html", RULES, lambda rule: TEXT)
    made = (tmp_path / "rules.html").read_text()
    assert 'href="#NF301"' in made
    assert '<article id="NF301">' in made


def test_a_folder_holds_a_page_for_each_rule(tmp_path: Path) -> None:
    chosen = list(rules().values())
    site.write(tmp_path / "site", chosen, lambda rule: page(rules()["NF301"]))
    names = {f"{rule.code}-{rule.slug}.html" for rule in chosen}
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"index.html", *names}
    index = (tmp_path / "site" / "index.html").read_text()
    assert all(f'href="{name}"' in index for name in names)
    assert "<p>A convolution or linear layer whose bias is read by nothing but a norm" in index


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)")
@pytest.mark.parametrize(
    ("width", "file", "listed"),
    [
        pytest.param(1280, "index.html", True, id="wide, the list stands beside"),
        pytest.param(400, "index.html", False, id="narrow, the front page is the list"),
        pytest.param(400, "NF301-bias-before-norm.html", True, id="narrow, a search opens the list"),
    ],
)
def test_a_search_leaves_the_rules_that_it_names(tmp_path: Path, width: int, file: str, listed: bool) -> None:
    site.write(tmp_path / "site", list(rules().values()), page)
    with chromium() as browser:
        browser.resize(width, 900)
        browser.open(tmp_path / "site" / file)
        browser.run("search.value = 'dropout'; search.dispatchEvent(new Event('input'))")
        seen = "filter((one) => one.checkVisibility()).map((one) => one.textContent)"
        shown = f"return [...document.querySelectorAll('%s li')].{seen}"
        assert ("NF303 dropout-before-norm" in browser.run(shown % "nav")) is listed
        seen_anywhere = browser.run(shown % "nav") + browser.run(shown % ".front")
        assert seen_anywhere and all("ropout" in text for text in seen_anywhere)
        assert browser.complaints() == []
