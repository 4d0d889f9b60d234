"""A Chromium without a screen, spoken to by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-pipe", "--window-size=1400,1000", "about:blank"),
)


@dataclass
class Page:
    """An open page; ``wrong`` collects exceptions, and what is logged as an error."""

    requests: BinaryIO
    answers: BinaryIO
    session: str = ""
    wrong: list[str] = field(default_factory=list)
    loaded: bool = False
    number: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its answer."""
        self.number += 1
        request: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        self.requests.write(json.dumps(request).encode() + b"\0")
        self.requests.flush()
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, path: Path) -> None:
        """Open a file and wait until all of it is there."""
        self.call("Page.navigate", url=path.as_uri())
        while not self.loaded:
            self._receive()

    def run(self, script: str) -> Any:
        """The value of an asynchronous function's body, run in the page."""
        body = f"(async () => {{ {script} }})()"
        done = self.call("Runtime.evaluate", expression=body, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """What is in view, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _receive(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            assert byte, "the browser went away"
            text += byte
        message = json.loads(text)
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self.loaded = True
            case "Runtime.exceptionThrown":
                self.wrong.append(json.dumps(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert"):
                self.wrong.append(json.dumps(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.wrong.append(json.dumps(parameters["entry"]))
        return message


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page in a new browser with an empty profile; both are gone afterwards."""
    theirs, ours = os.pipe()
    mine, yours = os.pipe()

    def move() -> None:  # the protocol wants 3 to read from and 4 to write to
        kept = [os.dup(fd) for fd in (theirs, yours)]
        for fd, wanted in zip(kept, (3, 4), strict=True):
            os.dup2(fd, wanted)

    process = subprocess.Popen(
        [CHROMIUM, f"--user-data-dir={profile}", *_OPTIONS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=move,
    )
    os.close(theirs)
    os.close(yours)
    try:
        with os.fdopen(ours, "wb") as requests, os.fdopen(mine, "rb") as answers:
            page = Page(requests, answers)
            target = page.call("Target.getTargets")["targetInfos"]
            number = next(t["targetId"] for t in target if t["type"] == "page")
            attached = page.call("Target.attachToTarget", targetId=number, flatten=True)
            page.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                page.call(f"{domain}.enable")
            yield page
    finally:
        process.terminate()
        process.wait(20)
