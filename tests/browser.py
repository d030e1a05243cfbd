"""A headless browser for pages: opened on a file, asked by script, looked at as a picture. Spoken to by DevTools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0  # seconds, on a small and busy machine


def find_browser() -> str:
    """A Chromium of this machine; tests that need it skip, saying so, where there is none."""
    found = os.environ.get("BACKTEST_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here to open pages in (apt-get install chromium, or set BACKTEST_BROWSER)")
    pytest.importorskip("websocket", reason="no websocket-client here to speak to a browser with")
    return found


class Browser:
    """One tab. `errors` holds what its console complained of, and what it could not fetch."""

    def __init__(self) -> None:
        import websocket

        self.folder = tempfile.TemporaryDirectory(prefix="browser-")
        words = [
            find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio",
            "--no-first-run", "--disable-extensions", "--remote-debugging-port=0", "--remote-allow-origins=*",
            "--disable-background-networking", f"--user-data-dir={self.folder.name}", "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = self._port()
        targets = json.load(urlopen(f"http://127.0.0.1:{port}/json"))
        address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        self.socket = websocket.create_connection(address, timeout=PATIENCE)
        self.number, self.errors, self.asked = 0, list[str](), list[str]()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _port(self) -> str:
        told, until = Path(self.folder.name) / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not (told.exists() and told.read_text().count("\n")):
            assert time.monotonic() < until and self.process.poll() is None, "the browser did not start"
            time.sleep(0.05)
        return told.read_text().split("\n")[0]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command, and its answer; events on the way are looked at."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            told = json.loads(self.socket.recv())
            if told.get("id") == self.number:
                assert "error" not in told, told
                return dict(told["result"])
            self._hear(told)

    def _hear(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.errors.append(" ".join(str(each.get("value", each)) for each in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    def look(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """The window's size, the reader's taste, and whether it is touched."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        taste = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[taste])

    def open(self, page: Path) -> None:
        """Load a page from its file and wait until its script is through."""
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.until("document.documentElement?.dataset.ready === 'yes'")

    def ask(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.ask(script):
            assert time.monotonic() < end, f"still not so: {script}; {self.errors}"
            time.sleep(0.05)

    def picture(self, path: Path, whole: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(b64decode(told["data"]))
        return path

    def close(self) -> None:
        """End the browser that was started here."""
        self.socket.close()
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.folder.cleanup()


LAPTOP, PHONE = (1280, 900), (390, 844)


def drawn(browser: Browser, page: Path, size: tuple[int, int] = LAPTOP, dark: bool = False, once: str = "") -> Browser:
    """A page opened afresh with all of it drawn, `once` a script's expression is true."""
    browser.errors.clear(), browser.asked.clear()
    browser.look(*size, dark=dark, phone=size == PHONE)
    browser.open(page)
    if once:
        browser.until(once)
    browser.ask("report.draw()")
    return browser
