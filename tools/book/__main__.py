"""Make a book of the sources: a folder of pages that a browser opens from disk, without network or script.

usage: python tools/book [flags]

{flags}
  -h, --help            this page

Prose, formulas and drawings stand beside the code that they explain. A page of a source file has its
docstrings on the left; the chapters of docs/book/*.md quote lines, whose text is looked up when the book is
made, have examples, which are run, and drawings, which are made of the code's own numbers. The pages of docs/
are in it, too. Needs: pip install -e ".[book]".

Exit codes: 0 done; 1 a chapter says what is not so; 2 wrong usage.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
sys.path.insert(0, str(Path(__file__).parents[2]))  # this picogpt, installed or not
from book import pages, source
from book.markup import page_name
from book.pages import ORDER, SOURCES, path_of
from picogpt.system import command
from picogpt.system.files import atomic_write


def build(out, sample=""):
    """Write all pages into the folder `out`; return {name of a file: its text}.

    `sample` is the address of a page of picogpt.explain to which the first page leads.
    A chapter that quotes, names or prints what is not so is a ValueError, and nothing is written.
    """
    chapters = source.chapters()
    bodies = {name: pages.chapter_page(name, chapters[name]) for name in ORDER if name in chapters}
    bodies |= {name: pages.source_page(path_of(name), bodies) for name in SOURCES}
    minutes = {name: pages.minutes(body) for name, body in bodies.items()}
    titles = {name: pages.title(name, chapters) for name in ORDER}
    files = {"style.css": (source.CHAPTERS / "style.css").read_text(encoding="utf-8")}
    todo, pictures = ["docs/README.md", "README.md"], set()
    for name, body in bodies.items():
        asked = pages.functions_of(path_of(name)) if name in SOURCES else pages.quoted(body)
        body = pages.ending(body, asked) if name not in ("index", "glossary") else body
        files[f"{name}.html"] = pages.whole_page(name, titles, minutes, body, sample)
    todo += [path for text in files.values() for path in pages.needs(text)[0]]
    while todo:  # pages of tests and documents may name more files
        path = todo.pop()
        if page_name(path) not in files:
            body = pages.other_page(path)
            files[page_name(path)] = pages.whole_page(path, titles, minutes, body)
            todo += pages.needs(body)[0]
            pictures |= set(pages.needs(body)[1])
    check_links(files, {sample} | {Path(path).name for path in pictures})
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with atomic_write(Path(out, name)) as file:
            file.write(text.encode())
    for path in pictures:
        Path(out, Path(path).name).write_bytes((source.REPOSITORY / path).read_bytes())
    return files


def check_links(files, pictures=()):
    """Raise ValueError for a link to a page, or to a place on it, that the book does not have."""
    anchors = {name: set(pages.attributes(text, "id")) for name, text in files.items()}
    for name, text in files.items():
        for link in pages.attributes(text, "(?:href|src)"):
            page, _, place = link.partition("#")
            if link == "data:," or "://" in link or page in pictures:
                continue
            if (page or name) not in files or (place and place not in anchors[page or name]):
                raise ValueError(f"{name} has a link to {link}, which is nowhere in the book")


def book(
    *,
    out: Annotated[str, "DIR", "where the pages go; begin with index.html"] = "build/book",
    sample: Annotated[str, "PAGE", "a page of picogpt.explain, beside the others, to lead to"] = "",
    open: Annotated[bool, "show it in a browser"] = False,
):
    """Do as the docstring of this module says."""
    folder, began = Path(out).resolve(), time.perf_counter()
    os.chdir(source.REPOSITORY)  # where the examples look for their files
    try:
        files = build(folder, sample)
    except ModuleNotFoundError as error:
        raise ValueError(f'{error.name} is missing: pip install -e ".[book]"') from error
    took = time.perf_counter() - began
    print(f"{len(files)} files in {folder}, in {took:.0f} s; begin with index.html", file=sys.stderr)
    if open:
        webbrowser.open((folder / "index.html").as_uri())


if __name__ == "__main__":
    command.run(book, name="book")
