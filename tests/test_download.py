import hashlib
import http.server
import re
import threading

import numpy as np
import pytest

from picogpt.download import download

CONTENT = np.random.default_rng(0).bytes(300_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT as /file; `server.mode` says how well, `server.asked` notes the Range of each asking."""

    def do_GET(self):
        mode, range_header = self.server.mode, self.headers.get("Range")
        self.server.asked.append(range_header)
        if self.path != "/file":
            return self.send_error(404)
        if mode == "busy" and len(self.server.asked) < 3:
            return self.send_error(503)
        begin = (
            int(re.fullmatch(r"bytes=(\d+)-", range_header)[1]) if range_header and mode != "no range" else 0
        )
        if begin >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = CONTENT[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if mode != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mode == "always cuts":
            body = body[:-1] if not begin else b""
        elif mode == "cuts":
            body = body[:100_000]
        return self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.mode, server.asked = "good", []
        server.url = f"http://127.0.0.1:{server.server_port}/file"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server, path, **known):
    download(server.url, path, pause=0.001, **known)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", ["good", "no range", "no length", "busy", "cuts"])
@pytest.mark.parametrize("known", [{}, {"size": len(CONTENT), "sha256": SHA256}])
def test_the_file_arrives_whole_from_any_server(server, tmp_path, mode, known, capfd):
    server.mode = mode
    fetch(server, tmp_path / "new" / "file", **known)
    out, err = capfd.readouterr()
    assert out == ""
    assert "file:" in err  # the bar
    if mode == "cuts":
        assert len(server.asked) > 3
        assert server.asked == sorted(set(server.asked), key=server.asked.index)  # each try gets further


@pytest.mark.parametrize("mode", ["good", "no range"])
@pytest.mark.parametrize("n", [1, 250_000, len(CONTENT), len(CONTENT) + 5])
def test_a_part_is_gone_on_with(server, tmp_path, mode, n):
    server.mode = mode
    (tmp_path / "file.part").write_bytes((CONTENT + b"extra")[:n])
    fetch(server, tmp_path / "file")
    assert server.asked[0] == f"bytes={n}-"


def test_a_whole_part_of_known_size_needs_no_server(tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    download("http://127.0.0.1:1/file", tmp_path / "file", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_asked_for(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    fetch(server, tmp_path / "file", size=len(CONTENT), sha256=SHA256)
    assert server.asked == []


def test_a_half_file_of_another_program_is_gone_on_with(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT[:1000])
    fetch(server, tmp_path / "file", size=len(CONTENT), sha256=SHA256)
    assert server.asked == ["bytes=1000-"]


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"size": len(CONTENT) + 1}, {"size": 10}])
def test_a_wrong_file_is_deleted_and_reported(server, tmp_path, known):
    with pytest.raises(ValueError, match=r"gave 300,001 bytes with sha256 .*not the published .*: deleted"):
        download(server.url, tmp_path / "file", pause=0.001, **known)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_something_else_is_found_by_its_sha256(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"something else")
    with pytest.raises(ValueError, match="deleted, run this again"):
        download(server.url, tmp_path / "file", sha256=SHA256)
    fetch(server, tmp_path / "file", sha256=SHA256)


def test_a_file_that_the_server_lacks_is_reported_at_once(server, tmp_path):
    with pytest.raises(ValueError, match=r"/fileX cannot be fetched \(404 Not Found\): check the address"):
        download(server.url + "X", tmp_path / "file")
    assert len(server.asked) == 1


def test_a_connection_that_always_drops_is_reported_and_the_part_kept(server, tmp_path):
    server.mode = "always cuts"
    with pytest.raises(
        OSError, match=r"cannot be fetched .*: check the network .* after the [1-9][0-9,]+ bytes"
    ):
        download(server.url, tmp_path / "file", pause=0.001)
    part = (tmp_path / "file.part").read_bytes()
    assert CONTENT.startswith(part)
    server.mode = "good"
    fetch(server, tmp_path / "file")


def test_no_server_is_reported(tmp_path):
    with pytest.raises(OSError, match=r"cannot be fetched \(ConnectionError\): check the network"):
        download("http://127.0.0.1:1/file", tmp_path / "file", pause=0.001)


def test_a_full_disk_is_reported(server, tmp_path):
    try:
        (tmp_path / "file.part").symlink_to("/dev/full")
        with open("/dev/full"):
            pass
    except OSError:
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OSError, match=r"file.part cannot be written \(No space left on device\): make room"):
        download(server.url, tmp_path / "file", pause=0.001)
