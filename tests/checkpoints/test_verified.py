"""A check that takes time is made once for each large file, and for each that has changed since."""

import os
from pathlib import Path

import pytest

from picogpt.checkpoints import verified
from picogpt.checkpoints.verified import once


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Two files that count as large together, and the cache of a user who has none yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified, "LARGE", 10)
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"67890")
    return [tmp_path / "a", tmp_path / "b"]


def known(check, paths):
    with once(check, paths) as is_known:
        return is_known


def test_each_check_is_known_for_the_files_that_have_passed_it_together(large):
    assert [known("crc32c", large), known("crc32c", large[::-1])] == [False, True]
    assert [known("finite", large), known("finite", large)] == [False, True]
    assert [known("finite", large[:1]), known("finite", large[:1])] == [False, False]  # it is small


def test_what_has_failed_is_checked_again(large):
    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"), once("crc32c", large) as is_known:
            assert not is_known
            raise ValueError("damaged")


def test_a_file_that_has_changed_is_checked_again_even_if_its_size_and_date_are_as_before(large):
    known("crc32c", large)
    date = large[1].stat().st_mtime_ns
    large[1].write_bytes(b"67891")
    os.utime(large[1], ns=(date, date))
    assert not known("crc32c", large)
    assert known("crc32c", large)
    os.utime(large[1], ns=(date + 1, date + 1))
    assert not known("crc32c", large)


def test_a_change_during_the_check_is_noticed_by_the_next(large):
    with once("crc32c", large):
        large[0].write_bytes(b"123456")
    assert not known("crc32c", large)


@pytest.mark.parametrize("note", [b"", b"\xff", b"{", b"[1]"])
def test_a_note_that_cannot_be_read_or_written_is_as_none(note, large, tmp_path, monkeypatch):
    known("crc32c", large)
    [path] = Path(tmp_path, "cache", "picogpt", "verified").iterdir()
    path.write_bytes(note)
    assert not known("crc32c", large)
    assert known("crc32c", large)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [known("crc32c", large), known("crc32c", large)] == [False, False]
