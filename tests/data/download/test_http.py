import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jungle.data.download import http
from jungle.data.download.http import PRIMATRIX, download
from jungle.errors import UserError

BODY = hashlib.shake_128(b"clips").digest(300_000)


class Server(ThreadingHTTPServer):
    """Serves `body` at every path, with the faults a test asks for; remembers what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.modified = BODY, '"v1"', "Mon, 01 Jan 2018 00:00:00 GMT"
        self.ranges = True
        self.most = None  # bytes of the longest part it gives
        self.cuts = []  # bytes after which an answer is cut, one each
        self.statuses = []  # statuses given first
        self.says = None  # a Content-Length that is not true
        self.pause_s = 0.0
        self.asked = []

    def handle_error(self, *_):
        """A client that goes away is what the tests are about."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        span = self.headers.get("Range")
        server.asked.append(span)
        if server.statuses:
            status = server.statuses.pop(0)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        fresh = self.headers.get("If-Range") in (server.etag or None, server.modified or None)
        if span and server.ranges and fresh:
            start = int(span.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(server.body):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = server.body[start:][: server.most if start else None]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{len(server.body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.modified:
            self.send_header("Last-Modified", server.modified)
        self.send_header("Content-Length", str(server.says or len(data)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(data)
        for at in range(0, cut, 50_000):
            self.wfile.write(data[at : min(at + 50_000, cut)])
            self.wfile.flush()
            time.sleep(server.pause_s)
        self.close_connection = True


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, out, **options):
    options = {"tries": 3, "backoff_s": 0.01} | options
    return download({"x/file.bin": server.url}, out, **options)["x/file.bin"]


def whole(path, body=BODY):
    assert path.read_bytes() == body
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["file.bin"]


def test_a_file_comes_whole_and_is_fetched_once(server, tmp_path):
    whole(fetch(server, tmp_path))
    fetch(server, tmp_path)
    assert server.asked == [None]


def test_cuts_in_mid_file_are_gone_on_from(server, tmp_path):
    server.cuts = [140_000, 70_000, 80_000]
    whole(fetch(server, tmp_path))
    starts = [int(a.removeprefix("bytes=").rstrip("-")) for a in server.asked if a]
    assert len(starts) == 3
    assert starts == sorted(starts)
    assert 70_000 < starts[0] <= 140_000


def test_a_file_that_changed_meanwhile_is_begun_anew(server, tmp_path):
    server.etag, server.modified = '"v1"', ""
    part = begin(server, tmp_path)
    assert part.stat().st_size > 0
    server.body, server.etag, server.cuts = BODY[::-1], '"v2"', []
    whole(fetch(server, tmp_path), BODY[::-1])


def begin(server, tmp_path):
    """Leave a part behind, as a killed process does."""
    server.cuts, server.ranges = [140_000] * 9, False
    with pytest.raises(UserError, match="brought nothing more"):
        fetch(server, tmp_path)
    server.cuts, server.ranges = [], True
    server.asked.clear()
    return tmp_path / "x" / "file.bin.part"


@pytest.mark.parametrize(
    ("etag", "modified"), [('"v1"', ""), ("", "Mon, 01 Jan 2018 00:00:00 GMT"), ('W/"v1"', "Mon")]
)
def test_a_part_is_gone_on_from_by_what_names_its_version(server, tmp_path, etag, modified):
    server.etag, server.modified = etag, modified
    size = begin(server, tmp_path).stat().st_size
    whole(fetch(server, tmp_path))
    assert server.asked == [f"bytes={size}-"]


def test_a_part_of_no_known_version_is_begun_anew(server, tmp_path):
    server.etag = server.modified = ""
    begin(server, tmp_path)
    whole(fetch(server, tmp_path))
    assert server.asked == [None]


def test_a_server_without_ranges_is_begun_anew(server, tmp_path):
    begin(server, tmp_path)
    server.ranges = False
    whole(fetch(server, tmp_path))


def test_a_server_that_ignores_if_range_is_found_out(server, tmp_path):
    part = begin(server, tmp_path)
    server.body, server.etag = BODY[::-1], '"v2"'
    note = part.with_name("file.bin.part.json")
    # The date still matches, so the server goes on with the new file; its tag gives it away.
    known = json.loads(note.read_text()) | {"etag": 'W/"v1"'}
    note.write_text(json.dumps(known))
    whole(fetch(server, tmp_path), BODY[::-1])


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    part = begin(server, tmp_path)
    part.write_bytes(bytes(400_000))
    whole(fetch(server, tmp_path))


def test_a_part_that_was_whole_is_only_renamed(server, tmp_path):
    begin(server, tmp_path).write_bytes(BODY)
    whole(fetch(server, tmp_path))
    assert server.asked == []


def test_a_wrong_length_is_never_taken_for_whole(server, tmp_path):
    server.says = len(BODY) + 7
    with pytest.raises(UserError, match="brought nothing more"):
        fetch(server, tmp_path)
    assert not (tmp_path / "x" / "file.bin").exists()


def test_parts_shorter_than_asked_for_are_not_the_end(server, tmp_path):
    server.cuts, server.most = [140_000], 70_000
    whole(fetch(server, tmp_path))


def test_busy_servers_are_asked_again(server, tmp_path):
    server.statuses = [503, 429]
    whole(fetch(server, tmp_path))
    server.statuses = [503] * 99
    with pytest.raises(UserError, match="503"):
        fetch(server, tmp_path / "again")


def test_redirects_are_followed(server, tmp_path):
    server.statuses = [302]
    whole(fetch(server, tmp_path))


def test_what_is_not_there_is_said_at_once(server, tmp_path):
    server.statuses = [404, 404]
    with pytest.raises(UserError, match="404 Not Found"):
        fetch(server, tmp_path)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/x: cut"):
        download({"a": "http://127.0.0.1:9/x"}, tmp_path, tries=2, backoff_s=0.01)
    with pytest.raises(UserError, match="not an http address"):
        download({"a": "file:///etc/passwd"}, tmp_path)


def test_a_stalled_server_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT_S", 0.3)
    server.pause_s = 1.0
    threading.Timer(0.4, lambda: setattr(server, "pause_s", 0.0)).start()
    whole(fetch(server, tmp_path))


def test_no_room_is_said_before_anything_comes(server, tmp_path):
    server.says = 10**18
    with pytest.raises(UserError, match="make room"):
        fetch(server, tmp_path)


def test_names_stay_in_the_folder(server, tmp_path):
    with pytest.raises(ValueError, match="not a name"):
        download({"../x": server.url}, tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_and_run_again(server, tmp_path):
    server.pause_s = 1.0
    files = {"x/file.bin": server.url}
    code = f"from jungle.data.download.http import download; download({files}, {str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    part = tmp_path / "x" / "file.bin.part"
    ends = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size) and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    size = part.stat().st_size
    assert 0 < size < len(BODY)
    server.pause_s = 0
    whole(fetch(server, tmp_path))
    assert server.asked[-1] == f"bytes={size}-"


def test_two_at_once_are_refused(server, tmp_path):
    from filelock import FileLock

    (tmp_path / "x").mkdir()
    with FileLock(tmp_path / "x" / ".file.bin.lock"), pytest.raises(UserError, match="another process"):
        fetch(server, tmp_path)


def test_the_public_files_of_the_competition():
    assert {Path(u).name for u in PRIMATRIX.values()} == {
        "train_labels.csv",
        "submission_format.csv",
        "micro_chimps.tgz",
    }
    assert all(u.startswith("https://") for u in PRIMATRIX.values())
