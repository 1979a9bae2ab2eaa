"""A real Chromium, driven over the WebDriver protocol: what the tests of the HTML pages look through."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, path: Path) -> None:
        """Load a file, and wait until its picture is drawn, if it has one."""
        self._post("url", {"url": path.as_uri()})
        self._logs("browser"), self._logs("performance")
        self._post("refresh", {})
        self.until("!document.querySelector('.canvas') || document.querySelector('.canvas svg')")

    def run(self, script: str, *values: object) -> Any:
        """What a function body returns, run from outside the page's own policy."""
        return self._post("execute/sync", {"script": script, "args": list(values)})

    def until(self, condition: str, seconds: float = 30.0) -> None:
        """Wait for a JavaScript expression to hold. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"`{condition}` does not hold: {self.complaints()}")
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """What the console said since the page was loaded: errors, warnings, breaches of its policy."""
        return [entry["message"] for entry in self._logs("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was loaded, the page itself included."""
        events = [json.loads(entry["message"])["message"] for entry in self._logs("performance")]
        return [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]

    def emulate(self, command: str, **parameters: object) -> Any:
        """One command of the DevTools protocol."""
        return self._post("goog/cdp/execute", {"cmd": command, "params": parameters})

    def press(self, *keys: str) -> None:
        """Keys, as a keyboard would send them."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def screenshot(self, path: Path, width: int = 1280, full: bool = True) -> None:
        """A PNG of the whole page, or of what the window shows."""
        self.resize(width, 900)
        height = min(int(self.run("return document.documentElement.scrollHeight")), 9000) if full else 900
        self.resize(width, height)
        path.write_bytes(base64.b64decode(_call("GET", f"{self._session}/screenshot")))

    def resize(self, width: int, height: int) -> None:
        self.emulate(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def _logs(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._post("se/log", {"type": kind})
        return entries

    def _post(self, name: str, body: dict[str, Any]) -> Any:
        return _call("POST", f"{self._session}/{name}", body)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A window that is closed in the end."""
    assert CHROMIUM and DRIVER
    process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    session = ""
    try:
        assert process.stdout
        line = next(line for line in process.stdout if "successfully on port " in line)
        server = f"http://127.0.0.1:{line.split('on port ')[1].strip().rstrip('.')}"
        wanted = {
            "goog:chromeOptions": {"binary": CHROMIUM, "args": _FLAGS},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = _call("POST", f"{server}/session", {"capabilities": {"alwaysMatch": wanted}})
        session = f"{server}/session/{made['sessionId']}"
        yield Browser(session)
    finally:
        if session:
            _call("DELETE", session)
        process.terminate()
        process.wait(10)


def _call(method: str, address: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()) from error
