"""A download is verified before it takes its name, and nothing is left where it fails."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torchvision

from laq import data
from laq.utils import downloads
from laq.utils.errors import DataError, StorageError

LIBRARY = str(Path(data.__file__).parents[2])
CONTENT = bytes(range(256)) * 64
MD5 = hashlib.md5(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9/file"


class Host(ThreadingHTTPServer):
    """Serves one file, well or badly."""

    daemon_threads = True
    manner = "well"

    def __init__(self) -> None:
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        manner, half = self.server.manner, len(CONTENT) // 2
        if manner == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:half])
        if manner == "well":
            self.wfile.write(CONTENT[half:])
        elif manner == "corrupted":
            self.wfile.write(b"?" + CONTENT[half + 1 :])
        elif manner == "silent":
            self.wfile.flush()
            self.server.closing.wait(20)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


def test_a_file_is_fetched_from_the_first_url_that_has_it(tmp_path, host):
    target = tmp_path / "not" / "yet" / "file"
    downloads.fetch([NOWHERE, host.url, NOWHERE], target, MD5)
    assert target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("corrupted", "not found or corrupted"),
        ("cut", "not found or corrupted"),
        ("missing", "HTTP Error 404"),
        ("silent", "timed out"),
    ],
)
def test_a_download_that_fails_leaves_nothing_and_can_be_tried_again(
    tmp_path, host, monkeypatch, manner, says
):
    monkeypatch.setattr(downloads, "SILENCE", 1)
    host.manner = manner
    with pytest.raises(DataError) as caught:
        downloads.fetch([NOWHERE, host.url], tmp_path / "file", MD5)
    for fragment in (NOWHERE, "refused", host.url, says, f"put it at {tmp_path / 'file'}"):
        assert fragment in str(caught.value)
    assert not list(tmp_path.iterdir())
    host.manner = "well"
    downloads.fetch([host.url], tmp_path / "file", MD5)


def test_any_error_of_the_connection_is_a_data_error(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", interrupted)
    with pytest.raises(DataError, match="connection reset by peer"):
        downloads.fetch([NOWHERE], tmp_path / "file", MD5)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path, host):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="below/x cannot be written"):
        downloads.fetch([host.url], tmp_path / "file" / "below" / "x", MD5)


def test_a_killed_download_leaves_nothing_that_is_taken_and_the_next_removes_it(tmp_path, host):
    host.manner = "silent"
    program = (
        "from pathlib import Path; from laq.utils import downloads\n"
        f"downloads.fetch([{host.url!r}], Path({str(tmp_path / 'file')!r}), {MD5!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": LIBRARY, "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )
    waited = time.monotonic() + 60
    while not list(tmp_path.glob(".file.*/file")):
        assert time.monotonic() < waited and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "file").exists()
    host.manner = "well"
    downloads.fetch([host.url], tmp_path / "file", MD5)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
