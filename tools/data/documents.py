"""The documents in texts of several kinds, read one after the other: one at a time is in memory.

.txt           UTF-8; a line of <|endoftext|> ends a document, as does a file
.jsonl         a JSON object in each line, whose `field` is a document
.txt.gz, .jsonl.gz   the same, compressed by gzip
.parquet       a column named `field`, a document in each row; needs pyarrow, which holds one group of rows

Lines end in a newline alone, and newlines at the ends of a document are no part of it, as in text/data.py.
"""

import contextlib
import gzip
import io
import sys
import zlib
from pathlib import Path

from picogpt.system import command
from picogpt.system.files import LARGE, open_file, parse_json
from picogpt.text import data

STREAMS = "jsonl", "jsonl.gz", "txt", "txt.gz"
KINDS = *STREAMS, "parquet"


def read(source, field="text", kind="jsonl"):
    """Yield the documents of a file, of all files below a folder, or of "-", standard input of this `kind`.

    Files come in the order of their names. For a document that is not UTF-8, None comes.
    """
    if source == "-":
        with named("standard input"):
            yield from of_stream(sys.stdin.buffer, "standard input", field, kind)
        return
    if not Path(source).exists():
        raise FileNotFoundError(f"there is no file or folder {source}")
    for path in sorted(Path(source).rglob("*")) if Path(source).is_dir() else [Path(source)]:
        kinds = [kind for kind in KINDS if path.name.lower().endswith("." + kind)]
        if not kinds and path == Path(source):
            raise ValueError(
                f"{path} is of no kind that can be read: give a .{', .'.join(KINDS)} or a folder"
            )
        if kinds and not path.is_dir():
            with named(path), open_file(path) as file:
                yield from of_stream(file, path, field, kinds[0])


@contextlib.contextmanager
def named(source):
    """Have one sentence say which file it was that could not be unpacked."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{source} is damaged or cut short ({error}): copy it again") from None


def of_stream(file, source, field, kind):
    """Yield the documents of an open file; `source` is how errors call it."""
    with contextlib.ExitStack() as stack:
        if kind == "parquet":
            texts = column(file, source, field)
        else:
            packed = gzip.GzipFile(fileobj=file) if kind.endswith(".gz") else file
            decoded = io.TextIOWrapper(packed, encoding="utf-8-sig", errors="surrogateescape", newline=None)
            stack.enter_context(decoded)
            texts = (objects if kind.startswith("jsonl") else parts)(lines(decoded, source), source, field)
        for text in texts:
            try:
                text.encode()  # what was not UTF-8 is a lone surrogate by now, which is not either
                yield from data.documents(text.replace("\r\n", "\n").replace("\r", "\n"))
            except UnicodeEncodeError:
                yield None


def lines(file, source):
    """Yield the lines of a text, none of which may be longer than memory allows."""
    while line := file.readline(LARGE):
        if len(line) == LARGE:
            raise too_long(source)
        yield line


def too_long(source):
    """Return the error for a document that would take too much memory."""
    return ValueError(f"{source} has a document of more than {LARGE:,} characters: part it into several")


def parts(lines, source, field):
    """Yield the documents of a text, between lines of <|endoftext|>."""
    document, size = [], 0
    for line in lines:
        if line.rstrip("\n") == data.END:
            yield "".join(document)
            document, size = [], 0
            continue
        document.append(line)
        size += len(line)
        if size > LARGE:
            raise too_long(source)
    yield "".join(document)


def objects(lines, source, field):
    """Yield the field of each JSON object, one in a line."""
    for n, line in enumerate(lines, start=1):
        if line.strip():
            try:
                text = parse_json(line)[field]
            except (ValueError, TypeError, KeyError):
                text = None
            if not isinstance(text, str):
                raise ValueError(
                    f"{source}, line {n}, is no JSON object with a text named {field!r} (--field NAME)"
                )
            yield text


def column(file, source, field):
    """Yield the texts of a column of a Parquet file; a row without one is an empty text."""
    command.needs("pyarrow", "parquet")
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        if field not in (names := table.schema_arrow.names):
            raise ValueError(f"there is no column {field!r}, but {', '.join(names)} (--field NAME)")
        for batch in table.iter_batches(batch_size=256, columns=[field]):
            for text in batch.column(0).to_pylist():
                if not isinstance(text, str | None):
                    raise ValueError(f"the column {field!r} holds no texts")
                yield text or ""
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise ValueError(f"{source} cannot be read ({str(error).splitlines()[0]})") from None
