"""Texts of every kind that is read: the same documents, one at a time, and one sentence for what is wrong."""

import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest
from data import documents

from picogpt.text import data

TEXTS = ["One.\nÄ second line.", "Two", "  spaces, and a <|endoftext|> within.  ", "Four\n\n- five."]
AS_TEXT = "\n<|endoftext|>\n".join(TEXTS) + "\n"
AS_JSON = "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS)


def write(folder, name, content):
    content = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(folder / name)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz"])
def test_all_kinds_hold_the_same_documents(name, tmp_path):
    assert list(documents.read(write(tmp_path, name, AS_JSON if "json" in name else AS_TEXT))) == TEXTS
    assert list(documents.read(str(tmp_path))) == TEXTS  # of a folder


def test_a_parquet_file_holds_them_too(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = str(tmp_path / "a.parquet")
    parquet.write_table(arrow.table({"id": [*range(5)], "body": [*TEXTS, None]}), path, row_group_size=2)
    assert list(documents.read(path, field="body")) == TEXTS
    with pytest.raises(ValueError, match=r"there is no column 'text', but id, body \(--field NAME\)"):
        list(documents.read(path))
    with pytest.raises(ValueError, match="the column 'id' holds no texts"):
        list(documents.read(path, field="id"))
    write(tmp_path, "a.parquet", b"no parquet")
    with pytest.raises(ValueError, match=r"a\.parquet cannot be read \(.+\)$"):
        list(documents.read(path))


@pytest.mark.parametrize(
    "text",
    [
        *(AS_TEXT, "", "\n\n", "<|endoftext|>\n\n<|endoftext|>\nx"),
        *("a\r\n<|endoftext|>\r\nb\rc\n", "\ufeffa <|endoftext|>\n"),
    ],
)
def test_line_by_line_the_documents_are_those_of_the_whole_text(text, tmp_path):
    path = write(tmp_path, "a.txt", text)
    assert list(documents.read(path)) == list(data.documents(data.read_text(path)))


def test_files_come_in_the_order_of_their_names_and_others_are_left(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "c.txt").mkdir()
    for name in ("b.jsonl", "sub/a.txt", "a.TXT", "notes.md"):
        write(tmp_path, name, json.dumps({"text": name}) if name.endswith("jsonl") else name)
    assert list(documents.read(str(tmp_path))) == ["a.TXT", "b.jsonl", "sub/a.txt"]


@pytest.mark.parametrize("kind", documents.STREAMS)
def test_standard_input_is_a_stream(kind, monkeypatch):
    content = (AS_JSON if "jsonl" in kind else AS_TEXT).encode()
    stream = io.BytesIO(gzip.compress(content) if kind.endswith("gz") else content)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    assert list(documents.read("-", kind=kind)) == TEXTS


def test_a_document_that_is_not_utf_8_is_none_and_the_others_stay(tmp_path):
    path = write(tmp_path, "a.txt", b"one\n<|endoftext|>\n\xff\n<|endoftext|>\nthree")
    assert list(documents.read(path)) == ["one", None, "three"]
    path = write(tmp_path, "a.jsonl", '{"text": "half a character: \\ud800"}\n{"text": "b"}')
    assert list(documents.read(path)) == [None, "b"]


@pytest.mark.parametrize(
    "content", ["[1]", "{", '{"body": "a"}', '{"text": 1}', '{"text": "a", "text": "b"}']
)
def test_a_line_that_is_no_object_with_a_text_is_named(content, tmp_path):
    path = write(tmp_path, "a.jsonl", f"{AS_JSON}\n{content}\n")
    with pytest.raises(ValueError, match=r"a\.jsonl, line 6, is no JSON object with a text named 'text'"):
        list(documents.read(path))


def test_what_is_cut_or_of_no_kind_or_not_there_is_named(tmp_path):
    path = write(tmp_path, "a.txt.gz", AS_TEXT * 100)
    content = gzip.compress(AS_TEXT.encode() * 100)
    for damaged in (content[:-20], b"no gzip", content[:20] + b"\0" * 40 + content[60:]):
        (tmp_path / "a.txt.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.txt\.gz is damaged or cut short \(.+\): copy it again"):
            list(documents.read(path))
    with pytest.raises(ValueError, match=r"b\.csv is of no kind that can be read: give a \.jsonl, "):
        list(documents.read(write(tmp_path, "b.csv", "a,b")))
    with pytest.raises(FileNotFoundError, match="there is no file or folder nowhere"):
        list(documents.read("nowhere"))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl"])
@pytest.mark.parametrize("content", ["x" * 2000, "x\n" * 1000])
def test_a_document_that_would_not_fit_is_refused_unread(name, content, tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "LARGE", 500)
    path = write(tmp_path, name, json.dumps({"text": content}) if "json" in name else content)
    with pytest.raises(ValueError, match="has a document of more than 500 characters: part it into several"):
        list(documents.read(path))
