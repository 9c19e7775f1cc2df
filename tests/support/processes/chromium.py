"""Headless Chromium over its DevTools protocol, to open pages, look at them and use them as a reader does.

The protocol's messages are JSON with a zero byte behind each, on two pipes that the browser finds as its files 3 and 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""Path of the browser; None where there is none."""

PATIENCE = 120.0
"""Seconds after which a browser that does not answer counts as dead."""

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip
_KEYS = {
    "ArrowRight": 39,
    "ArrowLeft": 37,
    "ArrowDown": 40,
    "ArrowUp": 38,
    "Home": 36,
    "End": 35,
    "Tab": 9,
    "Enter": 13,
}
_FROM_THE_PAGE = ("file:", "data:")


@contextmanager
def running_browser(profile: Path) -> Iterator["Browser"]:
    """Run a browser with an empty profile, and end it with all its processes."""
    inside, outside = os.pipe(), os.pipe()
    # Descriptors above those that the browser gets, so that no pipe overwrites another.
    for_browser = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (inside[0], outside[1])]
    log = str(profile.with_suffix(".log"))
    process = os.posix_spawn(
        str(CHROMIUM), [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", "about:blank"], os.environ, setpgroup=0,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, fd, number) for fd, number in zip(for_browser, (3, 4), strict=True)),
        ],
    )  # fmt: skip
    for fd in (*for_browser, inside[0], outside[1]):
        os.close(fd)
    try:
        yield Browser(inside[1], outside[0])
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(inside[1])
        os.close(outside[0])


@dataclass
class Browser:
    """A running browser: `write` and `read` are the ends of its pipes."""

    write: int
    read: int
    told: list[dict[str, Any]] = field(default_factory=list)
    _rest: bytes = b""
    _asked: int = 0

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Send a command and wait for its answer; events before it are kept in `told`."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        content = json.dumps(message if session is None else {**message, "sessionId": session}).encode() + b"\0"
        while content:
            content = content[os.write(self.write, content) :]
        while (answer := self._next()).get("id") != self._asked:
            self.told.append(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.read], [], [], PATIENCE)
            more = os.read(self.read, 1 << 20) if ready else b""
            assert more, "the browser does not answer"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path, width: int = 1200, height: int = 900, **media: str) -> "Tab":
        """Open a page in a window of its own; `media` has features such as prefers_color_scheme="dark"."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.ask(f"{domain}.enable")
        tab.resize(width, height)
        tab.media(**media)
        tab.ask("Page.navigate", url=path.as_uri())
        tab.until("document.readyState === 'complete'")
        return tab


@dataclass
class Tab:
    """One page of a browser."""

    browser: Browser
    session: str

    def ask(self, method: str, **parameters: Any) -> Any:
        return self.browser.ask(method, self.session, **parameters)

    def resize(self, width: int, height: int) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def media(self, kind: str = "", **features: str) -> None:
        """Show the page as on another medium ("print"), or with other preferences of the reader."""
        wishes = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", media=kind, features=wishes)

    def value(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, f"{expression} did not become true"

    def until_told(self, method: str, **parameters: Any) -> None:
        """Wait for an event of the browser named `method` with these parameters."""
        end = time.monotonic() + PATIENCE
        while not any(
            one["method"] == method and parameters.items() <= one["params"].items() for one in self.browser.told
        ):
            assert time.monotonic() < end, f"{method} was not told"
            self.value("0")  # events come before an answer

    def press(self, key: str) -> None:
        """Press and release a key, in the element that has the focus."""
        about: Mapping[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def point(self, x: float, y: float) -> None:
        """Move the pointer to a place of the window."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path, selector: str | None = None, scale: float = 1.0) -> Path:
        """Write the whole page, or the first element of a selector, as PNG."""
        box = (
            "(({x, y, width, height}) => ({x: x + scrollX, y: y + scrollY, width, height}))"
            f"(document.querySelector({json.dumps(selector or 'html')}).getBoundingClientRect())"
        )
        clip = {**self.value(box), "scale": scale}
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def printed(self, path: Path) -> Path:
        """Write the page as PDF, A4 with its background colours."""
        found = self.ask("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    @property
    def problems(self) -> list[Any]:
        """Errors and warnings of the console, the script, and the page's security policy."""
        found = []
        for event in self._events("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            entry = event["params"].get("entry", {})
            if entry.get("level", "error") in ("error", "warning"):
                found.append(event["params"])
        return found

    @property
    def fetched(self) -> list[str]:
        """Addresses of all requests, except for files of this machine and data in the page."""
        urls = [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith(_FROM_THE_PAGE)]

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        told = self.browser.told
        return [one for one in told if one.get("sessionId") == self.session and one["method"] in methods]
