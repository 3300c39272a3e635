"""Make a book of the sources: a folder of pages that a browser opens from disk, without network or script.

usage: python tools/book [--out DIR]        (default: build/book; open DIR/index.html)

Prose and formulas stand on the left, the code that they explain on the right. A page of a source file has its
docstrings on the left; the chapters of docs/book/*.md quote lines, whose text is looked up when the book is
made, and have examples, which are run. Needs: pip install -e ".[book]".
"""

from picogpt.system import interrupt

interrupt.handle(interrupt.at_once)  # Ctrl-C is one line, also while the rest is imported

import ast
import html
import itertools
import os
import re
import sys
import textwrap
import time
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the rooms of tools/ import each other by name
sys.path.insert(0, str(Path(__file__).parents[2]))  # this picogpt, installed or not
from book import source
from picogpt.system.files import atomic_write

SOURCES = {
    "pico": "The whole idea on one page",
    "ops": "The operations",
    "gpt2": "The model",
    "grad": "The way back",
    "generate": "From logits to text",
    "train-optim": "The optimiser",
    "train-trainer": "The training",
    "text-bpe": "The tokenizer",
    "checkpoints-bundle": "The checkpoint",
}
# The reading order: a chapter of docs/book, or a source file.
ORDER = [
    "index",
    "pico",
    "ops",
    "softmax",
    "layer_norm",
    "gelu",
    "attention",
    "cross_entropy",
    "gpt2",
    "grad",
    "one_token",
    "generate",
    "train-optim",
    "adamw",
    "train-trainer",
    "text-bpe",
    "checkpoints-bundle",
    "speed",
    "tutorials",
]
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - picogpt, the book</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<a class="skip" href="#text">Skip to the text</a>
<nav aria-label="Book">{nav}</nav>
<main id="text">
{body}
</main>
<nav aria-label="Next pages" class="turn">{turn}</nav>
</body>
</html>
"""


def build(out):
    """Write all pages into the folder `out`; return {name of a file: its text}.

    A chapter that quotes, names or prints what is not so is a ValueError, and nothing is written.
    """
    chapters = source.chapters()
    pages = {name: chapter_page(name, chapters[name]) for name in ORDER if name in chapters}
    pages |= {name: source_page(path_of(name), pages) for name in SOURCES}
    others = [path for page in pages.values() for path in links(page, "data-file")]
    titles = {name: title(name, chapters) for name in ORDER}
    files = {"style.css": (source.CHAPTERS / "style.css").read_text(encoding="utf-8")}
    for name, body in pages.items():
        files[f"{name}.html"] = whole_page(name, titles, body)
    while others:  # pages of tests and other files may name more files
        path = others.pop()
        if page_name(path) not in files:
            body = source_page(path, {}) if path.startswith("picogpt/") else plain_page(path)
            files[page_name(path)] = whole_page(path, titles, body)
            others += links(body, "data-file")
    check_links(files)
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with atomic_write(Path(out, name)) as file:
            file.write(text.encode())
    return files


def path_of(name):
    """Return the path of a source file of the reading order."""
    return f"picogpt/{name.replace('-', '/')}.py"


def page_name(path):
    """Return the name of a file's page: tests-core-test_ops.html, and ops.html of picogpt/ops.py."""
    stem = path.removeprefix("picogpt/").removesuffix(".py").removesuffix(".md")
    taken = path.startswith("picogpt/") and stem in source.chapters()
    return ("picogpt-" if taken else "") + stem.replace("/", "-") + ".html"


def title(name, chapters):
    """Return the title of a page: the heading of its chapter, or what the source file is."""
    if name in SOURCES:
        return f"{name.replace('-', '/')}.py: {SOURCES[name].lower()}"
    return re.match(r"# (.+)", chapters[name])[1]


def whole_page(name, titles, body):
    """Put a page together: the contents, what it says, and the ways on."""
    items = "".join(
        f'<li><a href="{other}.html"{" aria-current=page" if other == name else ""}>{inline(text)}</a></li>'
        for other, text in titles.items()
        if other != "index"
    )
    home = '<a href="index.html">picogpt, the book</a>'
    nav = f"{home}<details><summary>Contents</summary><ol>{items}</ol></details>"
    turn = '<a href="index.html">Contents</a>'
    if name in ORDER:
        at = ORDER.index(name)
        ways = [("prev", "Before", at - 1)] * (at > 0) + [("next", "Next", at + 1)] * (at + 1 < len(ORDER))
        turn = "".join(
            f'<a rel="{rel}" href="{ORDER[n]}.html">{word}: {inline(titles[ORDER[n]])}</a>'
            for rel, word, n in ways
        )
    if name == "index":
        nav, body = (
            "picogpt",
            body.replace('<div class="code">', f'<div class="code"><ol class="contents">{items}</ol>'),
        )
    return PAGE.format(title=html.escape(titles.get(name, name)), nav=nav, body=body, turn=turn)


def links(text, attribute="href"):
    """Return what the links of a page lead to, or the files behind its links."""
    return [html.unescape(link) for link in re.findall(rf'{attribute}="([^"]+)"', text)]


def check_links(files):
    """Raise ValueError for a link to a page, or to a place on it, that the book does not have."""
    anchors = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in files.items()}
    for name, text in files.items():
        for link in links(text):
            page, _, place = link.partition("#")
            if link != "data:," and (
                (page or name) not in files or (place and place not in anchors[page or name])
            ):
                raise ValueError(f"{name} has a link to {link}, which is nowhere in the book")


def link(path, function="", text=None, line=None):
    """Return a link to a file, a function in it, or a line."""
    place = f"#L{line}" if line else f"#{function}" if function else ""
    text = text or html.escape(function or Path(path).name)
    return f'<a href="{page_name(path)}{place}" data-file="{path}">{text}</a>'


def inline(text):
    """Return plain prose as HTML: what stands in backticks is code, and leads to what it names."""
    parts = re.split(r"`+([^`]+)`+", text)
    return "".join(code(part) if n % 2 else html.escape(part) for n, part in enumerate(parts))


def code(text):
    """Return a piece of code in a sentence, as a link if it names a function or a file of the repository."""
    found = source.look_up(text)
    shown = f"<code>{html.escape(text)}</code>"
    return link(*found, shown) if found else shown


@cache
def coloured(path):
    """Return the lines of a source file as HTML, in colours, each name of a function a link to it."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    marked = highlight(source.read(path), PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    homes = {name: (path, name) for name in source.functions(path)}
    for node in ast.walk(ast.parse(source.read(path))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("picogpt."):
            home = source.module(node.module.removeprefix("picogpt."))
            known = source.functions(home) if home else ()
            homes |= {a.name: (home, a.name) for a in node.names if a.name in known}

    def named(match):
        known = homes.get(match[1])
        return f'<span class="n">{link(*known, match[1])}</span>' if known else match[0]

    return re.sub(r'<span class="n">(\w+)</span>', named, marked).rstrip("\n").split("\n")


def code_lines(path, numbers, anchors=False):
    """Return lines of a file as HTML, each with its number, which on the page of the file is a place."""
    place = ' id="L{}"' if anchors else ""
    rows = "".join(
        f'<span class="line"{place.format(n)}>'
        f'<a class="number" tabindex="-1" href="{page_name(path)}#L{n}" data-file="{path}">{n}</a>'
        f"{coloured(path)[n - 1]}\n</span>"
        for n in numbers
    )
    return f'<pre class="lines"><code>{rows}</code></pre>'


def row(prose, right="", name="", kind=""):
    """Return a row of the book: prose on the left, code on the right."""
    place = f' id="{name}"' if name else ""
    columns = f'<div class="prose">{prose}</div><div class="code">{right}</div>'
    return f'<section class="row {kind}"{place}>{columns}</section>\n'


def source_page(path, chapters):
    """Return a source file as rows: the docstring of each function, and its code without it."""
    tree, lines = ast.parse(source.read(path)), source.read(path).splitlines()
    document = tree.body[0]
    heads = {start(node): (name, node) for name, node in source.functions(path).items()}
    ends = sorted([*heads, len(lines) + 1])
    head = range(document.end_lineno + 1, ends[0])
    prose = f"<h1>{html.escape(path)}</h1>" + docstring(ast.get_docstring(tree))
    parts = [row(prose, code_lines(path, trimmed(lines, head), True))]
    for n, stop in itertools.pairwise(ends):
        name, node = heads[n]
        hidden = range(0)
        if text := ast.get_docstring(node):
            hidden = range(node.body[0].lineno, node.body[0].end_lineno + 1)
        shown = [i for i in range(n, stop) if i not in hidden]
        prose = f"<h2>{html.escape(name)}</h2>" + docstring(text or "") + beside(path, name, chapters)
        parts.append(row(prose, code_lines(path, trimmed(lines, shown), True), name))
    return "".join(parts)


def start(node):
    """Return the number of a function's first line, that of a decorator if it has one."""
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def trimmed(lines, numbers):
    """Return the numbers without those of empty lines at either end."""
    full = [n for n in numbers if lines[n - 1].strip()]
    return [n for n in numbers if full and full[0] <= n <= full[-1]]


def beside(path, name, chapters):
    """Return the links beside a function: to its mirror, to the chapters that quote it, to its tests."""
    notes = []
    if other := source.mirror(name):
        notes.append(f"Mirror: {link(*other)}")
    quoting = [c for c, text in chapters.items() if f'data-quoted="{path}#{name}"' in text]
    if quoting:
        titles = source.chapters()
        notes.append(
            "Explained in: "
            + ", ".join(f'<a href="{c}.html">{inline(title(c, titles))}</a>' for c in quoting)
        )
    tests, through = source.tests_of(path, name)
    if tests:
        way = f" through <code>{html.escape(through[-1])}</code>" if through else ""
        first = [
            link(t.path, t.name, html.escape(t.name.removeprefix("test_").replace("_", " ")))
            for t in tests[:3]
        ]
        more = f"; and {len(tests) - 3} more" if len(tests) > 3 else ""
        notes.append(f"Tested{way}: {'; '.join(first)}{more}")
    return '<ul class="beside">' + "".join(f"<li>{note}</li>" for note in notes) + "</ul>" if notes else ""


def plain_page(path):
    """Return a page of a file whose text is shown as it is: a test, a tool, a document."""
    text = source.read(path)
    if not path.endswith(".py"):
        return row(
            f"<h1>{html.escape(path)}</h1>",
            f'<pre class="lines"><code>{html.escape(text)}</code></pre>',
            kind="wide",
        )
    places = {start(node): name for name, node in source.functions(path).items()}
    ends = [1, *sorted(places), len(text.splitlines()) + 1]
    lines, blocks = text.splitlines(), []
    for n, stop in itertools.pairwise(ends):
        place = f' id="{places[n]}"' if n in places else ""
        blocks.append(f"<div{place}>{code_lines(path, trimmed(lines, range(n, stop)), True)}</div>")
    return row(f"<h1>{html.escape(path)}</h1>", "".join(blocks), kind="wide")


def docstring(text):
    """Return a docstring as HTML: paragraphs, formulas, examples, and the sections of numpydoc."""
    parts = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if len(lines) > 1 and re.fullmatch(r"-+", lines[1]):
            parts.append(f"<h3>{html.escape(lines[0])}</h3>")
            lines = lines[2:]
            indented = any(line.startswith("    ") for line in lines)
            if indented or any(re.match(r"[\w, ]+ : ", line) for line in lines):
                parts.append(definitions(lines))
                continue
        if lines and (lines[0].startswith(">>> ") or all(line.startswith("    ") for line in lines)):
            parts.append(f"<pre>{html.escape(textwrap.dedent(block))}</pre>")
        elif lines and len(lines) <= 3 and re.match(r"\S.{0,24} = ", lines[0]) and not block.endswith("."):
            parts.append(f'<pre class="formula">{html.escape(block)}</pre>')
        elif lines:
            parts.append(f"<p>{inline(' '.join(line.strip() for line in lines))}</p>")
    return "".join(parts)


def definitions(lines):
    """Return a section of numpydoc as a list: names, and below each what is said of it."""
    parts = [
        f"<dd>{inline(line.strip())}</dd>" if line.startswith("    ") else f"<dt>{inline(line)}</dt>"
        for line in lines
    ]
    return "<dl>" + "".join(parts).replace("</dd><dd>", " ") + "</dl>"


@cache
def markdown():
    """Return the reader of Markdown: with tables and formulas, which become MathML, without HTML."""
    from latex2mathml.converter import convert
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(text, options):
        return convert(text, display="block" if options["display_mode"] else "inline")

    reader = (
        MarkdownIt("commonmark", {"html": False}).enable("table").use(dollarmath_plugin, renderer=formula)
    )
    reader.add_render_rule("code_inline", lambda self, tokens, i, options, env: code(tokens[i].content))
    return reader


def render(tokens, folder):
    """Return tokens of Markdown as HTML; links to files of the repository lead to their pages."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open" and "://" not in child.attrs["href"]:
                target, _, place = child.attrs["href"].partition("#")
                path = (folder / target).resolve().relative_to(source.REPOSITORY).as_posix()
                chapter = Path(path).parent == Path("docs/book")
                source.read(path)
                child.attrs["href"] = (
                    (f"{Path(path).stem}.html" if chapter else page_name(path)) + "#" * bool(place) + place
                )
                if not chapter:
                    child.attrs["data-file"] = path
    return markdown().renderer.render(tokens, markdown().options, {})


def chapter_page(name, text):
    """Return a chapter as rows: each ends with the lines that it quotes and the examples that it runs."""
    source.run_examples(name, text)
    for word in source.inline_names(text):
        source.look_up(word)
    rows, left, right = [], [], []
    for token in [*markdown().parse(text), None]:
        fence = token is not None and token.type == "fence" and token.info in ("source", "python")
        if token is None or (right and not fence) or (token.type == "fence" and token.info == "quote"):
            if left or right:
                rows.append(row(render(left, source.CHAPTERS), "".join(right), kind="chapter"))
            left, right = [], []
        if fence:
            right.append(quotation(token.content) if token.info == "source" else example(token.content))
        elif token is not None and token.type == "fence" and token.info == "quote":
            rows.append(row(quoted_text(token.content), kind="wide"))
        elif token is not None:
            left.append(token)
    return "".join(rows)


def quotation(references):
    """Return the lines of source that a chapter refers to, with where they stand."""
    parts = []
    for reference in references.splitlines():
        path, name, numbers = source.quote(reference)
        where = f"{link(path, name)} in {link(path)}"
        lines = f"<figcaption>{where}</figcaption>{code_lines(path, numbers)}"
        parts.append(f'<figure data-quoted="{path}#{name}">{lines}</figure>')
    return "".join(parts)


def example(text):
    """Return an example that has been run, in colours."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonConsoleLexer

    marked = highlight(text, PythonConsoleLexer(), HtmlFormatter(nowrap=True))
    caption = "<figcaption>run when this page was made</figcaption>"
    return f"<figure>{caption}<pre><code>{marked}</code></pre></figure>"


def quoted_text(reference):
    """Return what a chapter quotes from another document, and from which."""
    path, lines = source.excerpt(reference)
    tokens = markdown().parse("\n".join(lines))
    quoted = render(tokens, (source.REPOSITORY / path).parent)
    return f"<figure><figcaption>from {link(path, text=html.escape(path))}</figcaption>{quoted}</figure>"


def main(words):
    """Do as the command line says."""
    if words and (len(words) != 2 or words[0] != "--out"):
        sys.exit(__doc__)
    out, began = (
        Path(words[1] if words else source.REPOSITORY / "build" / "book").resolve(),
        time.perf_counter(),
    )
    os.chdir(source.REPOSITORY)  # where the examples look for their files
    try:
        files = build(out)
    except ModuleNotFoundError as error:
        sys.exit(f'book: {error.name} is missing: pip install -e ".[book]"')
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"book: {error}")
    print(
        f"{len(files)} files in {out}, in {time.perf_counter() - began:.0f} s; begin with index.html",
        file=sys.stderr,
    )


if __name__ == "__main__":
    interrupt.quietly(main, sys.argv[1:])
