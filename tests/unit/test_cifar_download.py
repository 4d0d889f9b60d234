"""The download of CIFAR: verified before it takes its name, and nothing where it fails."""

from __future__ import annotations

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
from laq.data import sources
from laq.utils import downloads
from laq.utils.errors import DataError
from tests import cifar
from tests.unit.test_cifar import declare_official, refused, settings

KIND, NAME = "cifar100", cifar.ARCHIVES["cifar100"]
LIBRARY = str(Path(data.__file__).parents[2])


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Host(ThreadingHTTPServer):
    """Serves one archive, well or badly."""

    daemon_threads = True
    content = b""
    manner = "well"
    asked = 0

    def __init__(self) -> None:
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.server.asked += 1
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        content, manner = self.server.content, self.server.manner
        if manner == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        half = len(content) // 2
        if manner == "well":
            self.wfile.write(content)
        elif manner == "corrupted":
            self.wfile.write(content[:half] + b"?" + content[half + 1 :])
        elif manner == "cut":
            self.wfile.write(content[:half])
        elif manner == "silent":
            self.wfile.write(content[:half])
            self.wfile.flush()
            self.server.closing.wait(20)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path, monkeypatch) -> Iterator[Host]:
    """A host of an archive that torchvision is told is the official one."""
    made = tmp_path / "made.tar.gz"
    cifar.write_archive(made, KIND, 2, 1, seed=0)
    with Host() as server:
        declare_official(monkeypatch, KIND, made, server.url)
        server.content = made.read_bytes()
        made.unlink()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


def test_nothing_is_fetched_unless_the_config_asks_for_it(tmp_path, host):
    refused(settings(KIND, tmp_path), "set dataset.download: true", host.url)
    assert host.asked == 0 and not listed(tmp_path)


def test_the_archive_is_fetched_once_and_is_what_was_served(tmp_path, host):
    folder = tmp_path / "not" / "yet"
    fetched = sources.make(settings(KIND, folder, download=True), 0)
    assert (folder / NAME).read_bytes() == host.content
    asked = host.asked  # torchvision looks for redirections first
    assert listed(folder) == [NAME]
    again = sources.make(settings(KIND, folder, download=True), 0)
    alone = sources.make(settings(KIND, folder / NAME), 0)
    assert host.asked == asked
    for one in (again, alone):
        assert one[0].images.tobytes() == fetched[0].images.tobytes()


def test_a_path_with_an_archives_name_is_where_it_comes_to_lie(tmp_path, host):
    sources.make(settings(KIND, tmp_path / "mine.tar.gz", download=True), 0)
    assert listed(tmp_path) == ["mine.tar.gz"]


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("corrupted", "is not the archive, whose md5 is"),
        ("cut", "was cut short or altered, and is deleted"),
        ("missing", "cannot be downloaded (HTTP Error 404"),
        ("silent", "timed out"),
    ],
)
def test_a_download_that_fails_leaves_nothing_and_can_be_tried_again(
    tmp_path, host, monkeypatch, manner, says
):
    monkeypatch.setattr(downloads, "SILENCE", 1)
    host.manner = manner
    config = settings(KIND, tmp_path, download=True)
    refused(config, host.url, says, f"put it at {tmp_path / NAME}")
    assert not listed(tmp_path)
    host.manner = "well"
    sources.make(config, 0)


def test_an_unreachable_host_is_said(tmp_path, host, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "url", "http://127.0.0.1:9/x.tar.gz")
    refused(settings(KIND, tmp_path, download=True), "cannot be downloaded", "refused")
    assert not listed(tmp_path)


def test_a_damaged_archive_that_is_there_is_not_replaced(tmp_path, host):
    (tmp_path / NAME).write_bytes(b"precious")
    refused(settings(KIND, tmp_path, download=True), "delete it and fetch")
    assert (tmp_path / NAME).read_bytes() == b"precious" and host.asked == 0


def test_the_md5_of_another_archive_cannot_be_downloaded(tmp_path, host):
    says = "dataset.md5 is not the official archive's"
    refused(settings(KIND, tmp_path, download=True, md5="0" * 32), says, "leave dataset.md5 out")
    assert host.asked == 0


def test_a_folder_that_cannot_be_made_is_said(tmp_path, host):
    (tmp_path / "file").write_text("")
    config = settings(KIND, tmp_path / "file" / "below", download=True)
    refused(config, str(tmp_path / "file" / "below"), "cannot be read or written")


def test_a_killed_download_leaves_nothing_that_is_taken(tmp_path, host, monkeypatch):
    host.manner = "silent"
    program = (
        "import torchvision, sys; from laq.data import sources\n"
        f"torchvision.datasets.CIFAR100.url = {host.url!r}\n"
        f"sources.make({settings(KIND, tmp_path, download=True)!r}, 0)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": LIBRARY, "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )
    waited = time.monotonic() + 60
    while not any(file.stat().st_size for file in tmp_path.glob(f".{NAME}.*/*")):
        assert time.monotonic() < waited and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (leftover,) = listed(tmp_path)
    assert leftover.startswith(f".{NAME}.")
    refused(settings(KIND, tmp_path), "is there: set dataset.download: true")
    # Another run's download might be going on in it: a young one stays, an old one goes.
    host.manner = "well"
    sources.make(settings(KIND, tmp_path, download=True), 0)
    assert listed(tmp_path) == sorted([leftover, NAME])
    (tmp_path / NAME).unlink()
    monkeypatch.setattr(downloads, "ABANDONED", -1)
    sources.make(settings(KIND, tmp_path, download=True), 0)
    assert listed(tmp_path) == [NAME]


def test_a_failure_raises_no_other_error_than_a_data_error(tmp_path, host, monkeypatch):
    def interrupted(*_: object) -> None:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", interrupted)
    with pytest.raises(DataError, match="connection reset by peer"):
        sources.make(settings(KIND, tmp_path, download=True), 0)
    assert not listed(tmp_path)
