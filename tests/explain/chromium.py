"""Chromium, driven by its DevTools protocol: real key presses, the page's own errors, pictures of it."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40, "ArrowUp": 38, "Home": 36, "End": 35}
PATIENCE = 60.0  # seconds


class Page:
    """One page. errors: what its console said at the levels error and warning, and exceptions. requests: addresses that
    it asked for, other than `data:`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop, self._socket = loop, socket
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        return self._run(self._call(method, parameters))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, which JSON must be able to hold; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys one after the other, as a keyboard does."""
        for key in keys:
            code = KEYS[key]
            about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
            text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **about, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def open(self, path: Path) -> None:
        """Load a file and wait until it is complete."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + PATIENCE
        while self.run("document.readyState") != "complete" or self.run("location.protocol") != "file:":
            assert time.monotonic() < end, "the page does not end loading"
            time.sleep(0.05)

    def screenshot(self) -> bytes:
        """A PNG of what is visible."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _run(self, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        return self._loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, about = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.errors.append(json.dumps(about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.errors.append(about["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not about["request"]["url"].startswith("data:"):
            self.requests.append(about["request"]["url"])


@contextmanager
def opened(path: Path, width: int = 1400, height: int = 1000, dark: bool = False) -> Iterator[Page]:
    """A page that has loaded the file, in a window of this size in pixels, in light or dark colours."""
    assert BROWSER is not None
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
        ]
        browser = subprocess.Popen(
            [BROWSER, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            session, socket = loop.run_until_complete(_connected(Path(profile), browser))
            page = Page(loop, socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            page.call("Emulation.setEmulatedMedia", features=[scheme])
            page.open(path)
            yield page
            loop.run_until_complete(session.close())
        finally:
            browser.terminate()
            browser.wait(PATIENCE)
            loop.close()


async def _connected(
    profile: Path, browser: "subprocess.Popen[bytes]"
) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    """A socket to the browser's first page. The browser writes its port into its profile."""
    end = time.monotonic() + PATIENCE
    while not (profile / "DevToolsActivePort").exists() or not (profile / "DevToolsActivePort").read_text().strip():
        assert browser.poll() is None and time.monotonic() < end, "chromium does not start"
        await asyncio.sleep(0.1)
    port = (profile / "DevToolsActivePort").read_text().splitlines()[0]
    session = aiohttp.ClientSession()
    while True:
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = [each for each in await answer.json() if each["type"] == "page"]
        if pages:
            return session, await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        assert time.monotonic() < end, "chromium has no page"
        await asyncio.sleep(0.1)
