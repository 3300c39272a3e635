"""Cut passages of two authors out of tales.txt, to learn from and to be tested on.

usage: python tools/data/two_authors.py tales.txt [--out FOLDER]

Writes two_authors_train.jsonl and two_authors_test.jsonl into FOLDER (tests/data), a line for each passage:
{"text", "label", "book"}. L. Frank Baum and E. Nesbit wrote tales of magic in the same years. No book is in
both files, and no character either: what is learned from the names in Oz is of no use in the test.

A passage is some paragraphs in a row, of LENGTH characters together, or if they are longer cut at a space.
The passages of a book are taken at equal distances, as many of each author as of the other.

The documents in tales.txt, whose sources tests/data/tales_sources.tsv lists, begin with their titles.
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import json
from pathlib import Path

from picogpt.system import command
from picogpt.system.files import atomic_write
from picogpt.text import data

LENGTH = 320  # characters in a passage
TALES = dict(
    unlikely="The Cockatoucan,Melisande,Fortunatus Rex,The Sums That Came Right,The Town in the Library,"
    "The Plush Usurper",  # of nine
    american="The Box of Robbers,The Glass Dog,The Queen of Quok,The Girl Who Owned a Bear,"
    "The Enchanted Types,The Laughing Hippopotamus,The Magic Bon Bons,The Capture of Father Time,"
    "The Wonderful Pump,The Dummy That Lived,The King of the Polar Bears,The Mandarin and the Butterfly",
    dragons="The Book of Beasts,Uncle James,The Deliverers of Their Country,The Ice Dragon,"
    "The Island of the Nine Whirlpools,The Dragon Tamers,The Fiery Dragon,Kind Little Edmund",
)
BOOKS = [  # file, author, book, titles of its documents, passages
    ("train", "Baum", "The Wonderful Wizard of Oz", "The Wonderful Wizard of Oz", 52),
    ("train", "Baum", "The Marvelous Land of Oz", "The Marvelous Land of Oz", 52),
    ("train", "Baum", "Ozma of Oz", "Ozma of Oz", 52),
    ("train", "Baum", "The Emerald City of Oz", "The Emerald City of Oz", 52),
    ("train", "Baum", "The Scarecrow of Oz", "The Scarecrow of Oz", 52),
    ("train", "Nesbit", "Five Children and It", "Five Children and It", 80),
    ("train", "Nesbit", "The Railway Children", "The Railway Children", 80),
    ("train", "Nesbit", "Nine Unlikely Tales", TALES["unlikely"], 100),
    ("test", "Baum", "American Fairy Tales", TALES["american"], 120),
    ("test", "Nesbit", "The Book of Dragons", TALES["dragons"], 120),
]


def two_authors(file: str, *, out: str = "tests/data"):
    """Write both files."""
    documents = list(data.documents(data.read_text(file)))
    lines = dict(train=[], test=[])
    for split, author, book, titles, n in BOOKS:
        found = [find(documents, title) for title in titles.split(",")]
        for text in evenly([passage for document in found for passage in passages(document)], n):
            lines[split].append(json.dumps(dict(text=text, label=author, book=book), ensure_ascii=False))
    for split, content in lines.items():
        with atomic_write(Path(out, f"two_authors_{split}.jsonl")) as target:
            target.write("\n".join([*content, ""]).encode())


def find(documents, title):
    """Return the one document whose first line begins with the title."""
    found = [document for document in documents if document.split("\n", 1)[0].startswith(title)]
    if len(found) != 1:
        raise ValueError(
            f"{len(found)} documents are called {title!r}: give the tales.txt of tests/data/tales_sources.tsv"
        )
    return found[0]


def passages(document):
    """Cut a document, without its headings, into passages of whole paragraphs, or parts of long ones."""
    paragraphs = [line for line in document.split("\n") if line and not line.startswith("Chapter")][1:]
    made = [""]
    for paragraph in paragraphs:
        made[-1] = f"{made[-1]} {paragraph}".strip()
        if len(made[-1]) >= LENGTH:
            made[-1] = made[-1][:LENGTH].rsplit(" ", 1)[0]
            made.append("")
    return made[:-1]


def evenly(items, n):
    """Return n of the items, at equal distances."""
    return [items[i * len(items) // n] for i in range(n)]


if __name__ == "__main__":
    command.run(two_authors, name="two_authors")
