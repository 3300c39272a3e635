"""The pages of the book: a source file in rows, a chapter, a document, a test."""

import ast
import html
import itertools
import re
from pathlib import Path

from book import drawings, source
from book.markup import (
    code_lines,
    console,
    docstring,
    inline,
    link,
    markdown,
    render,
    with_terms,
)  # fmt: skip
from picogpt.exercises.lay_out import LADDER

SOURCES = {
    "pico": "the whole idea",
    "ops": "the operations",
    "gpt2": "the model",
    "grad": "the backward pass",
    "generate": "from logits to text",
    "train-optim": "the optimiser",
    "train-trainer": "the training",
    "text-bpe": "the tokenizer",
    "checkpoints-bundle": "the checkpoint",
}
# The reading order: a chapter of docs/book, or a source file.
ORDER = [
    *("index", "pico", "ops", "softmax", "layer_norm", "gelu", "attention", "cross_entropy", "gpt2", "grad"),
    *("one_token", "generate", "train-optim", "adamw", "train-trainer", "text-bpe", "checkpoints-bundle"),
    *("speed", "tutorials", "glossary"),
]
WORDS, LINES = 200, 15  # that are read in a minute
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


def path_of(name):
    """Return the path of a source file of the reading order."""
    return f"picogpt/{name.replace('-', '/')}.py"


def title(name, chapters):
    """Return the title of a page: the heading of its chapter, or what the source file is."""
    if name in SOURCES:
        return f"{name.replace('-', '/')}.py: {SOURCES[name]}"
    return re.match(r"# (.+)", chapters[name])[1]


def whole_page(name, titles, minutes, body, sample=""):
    """Put a page together: the contents, what it says, and the ways on."""
    items = "".join(
        f'<li><a href="{other}.html"{" aria-current=page" if other == name else ""}>{inline(text)}</a>'
        f' <span class="minutes">{minutes[other]} min</span></li>'
        for other, text in titles.items()
        if other != "index"
    )
    home, documents = (
        '<a href="index.html">picogpt, the book</a>',
        link("docs/README.md", text="all pages, by task"),
    )
    nav = f"{home} {documents}<details><summary>Contents</summary><ol>{items}</ol></details>"
    turn = '<a href="index.html">Contents</a>'
    if name in ORDER:
        at = ORDER.index(name)
        ways = [("prev", "Before", at - 1)] * (at > 0) + [("next", "Next", at + 1)] * (at + 1 < len(ORDER))
        turn = "".join(
            f'<a rel="{rel}" href="{ORDER[n]}.html">{word}: {inline(titles[ORDER[n]])}</a>'
            for rel, word, n in ways
        )
    if name == "index":
        contents = f'<div class="code"><ol class="contents">{items}</ol>'
        shown = f' <a href="{html.escape(sample)}">a prompt, looked into</a>' if sample else ""
        nav, body = f"picogpt {documents}{shown}", body.replace('<div class="code">', contents, 1)
    return PAGE.format(title=html.escape(titles.get(name, name)), nav=nav, body=body, turn=turn)


def row(prose, right="", name="", kind=""):
    """Return a row of the book: prose on the left, code on the right."""
    place = f' id="{name}"' if name else ""
    columns = f'<div class="prose">{prose}</div><div class="code">{right}</div>'
    return f'<section class="row {kind}"{place}>{columns}</section>\n'


def minutes(body):
    """Return how many minutes a page takes to read: its words and its lines of code."""
    lines = body.count('<span class="line"') + body.count("&gt;&gt;&gt; ")
    text = re.sub(r"<pre.*?</pre>|<svg.*?</svg>|<[^>]+>", " ", body, flags=re.DOTALL)
    return max(1, round(len(text.split()) / WORDS + lines / LINES))


def ending(body, functions):
    """Return a page with its end: how long it takes, and how a reader rebuilds its functions."""
    rungs = [rung.name for rung in LADDER.values() if set(functions) & set(map(place_of, rung.functions))]
    said = f"<p>{minutes(body)} minutes to read.</p>"
    if rungs:
        commands = "\n".join(f"python -m picogpt.exercises check {name}" for name in rungs)
        begin = "<code>python -m picogpt.exercises start mine</code>"
        said += f"<p>Rebuild it, in a folder that {begin} has made:</p>"
        said += f"<pre>{commands}</pre>"
    return with_terms(body) + row(said, kind="ending")


def place_of(function):
    """Return a rung's function, "train.optim:clip", as path#function; the first rung rebuilds pico's gpt2."""
    module, _, name = function.partition(":")
    return "picogpt/pico.py#gpt2" if module == "first" else f"{path_of(module.replace('.', '-'))}#{name}"


def source_page(path, chapters):
    """Return a source file as rows: the docstring of each function, and its code without it; imports last."""
    tree, lines = ast.parse(source.read(path)), source.read(path).splitlines()
    heads = {start(node): (name, node) for name, node in source.functions(path).items()}
    ends = sorted([*heads, len(lines) + 1])
    imports = {
        n
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for n in range(node.lineno, node.end_lineno + 1)
    }
    head = [n for n in range(tree.body[0].end_lineno + 1, ends[0]) if n not in imports]
    prose, examples = docstring(ast.get_docstring(tree))
    constants = trimmed(lines, head)
    right = (code_lines(path, constants, True) if constants else "") + examples
    parts = [row(f"<h1>{html.escape(path)}</h1>{prose}", right)]
    for n, stop in itertools.pairwise(ends):
        name, node = heads[n]
        text = ast.get_docstring(node) or ""
        hidden = range(node.body[0].lineno, node.body[0].end_lineno + 1) if text else ()
        shown = [i for i in range(n, stop) if i not in hidden and i not in imports]
        prose, examples = docstring(text)
        prose = f"<h2>{html.escape(name)}</h2>{prose}{beside(path, name, chapters)}"
        right = drawing(drawings.BESIDE.get(f"{path}#{name}")) + code_lines(path, trimmed(lines, shown), True)
        parts.append(row(prose, right + examples, name))
    if imports:
        parts.append(row("<h2>What it imports</h2>", code_lines(path, sorted(imports), True)))
    return "".join(parts)


def drawing(name):
    """Return a drawing of the book as a figure."""
    if name is None:
        return ""
    made = drawings.DRAWINGS[name]()
    words = f"<details><summary>in words</summary>{html.escape(made.description)}</details>"
    caption = f"<figcaption>{html.escape(made.title)}{words}</figcaption>"
    return f'<figure class="drawn">{made}{caption}</figure>'


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
    quoting = [
        c for c, text in chapters.items() if f'data-quoted="{path}#{name}"' in text and c != "glossary"
    ]
    if quoting:
        titles = source.chapters()
        links = [f'<a href="{c}.html">{inline(title(c, titles))}</a>' for c in quoting]
        notes.append(f"Explained in: {', '.join(links)}")
    tests, through = source.tests_of(path, name)
    if tests:
        way = f" through <code>{html.escape(through[-1])}</code>" if through else ""
        said = [
            link(t.path, t.name, html.escape(t.name.removeprefix("test_").replace("_", " "))) for t in tests
        ]
        more = f"<details><summary>and {len(said) - 3} more</summary>{'; '.join(said[3:])}</details>"
        notes.append(f"Tested{way}: {'; '.join(said[:3])}{more if len(said) > 3 else ''}")
    return '<ul class="beside">' + "".join(f"<li>{note}</li>" for note in notes) + "</ul>" if notes else ""


def plain_page(path):
    """Return a page of a file whose text is shown as it is: a test, a tool."""
    text = source.read(path)
    places = {start(node): name for name, node in source.functions(path).items()}
    ends = [1, *sorted(places), len(text.splitlines()) + 1]
    lines, parts = text.splitlines(), []
    for n, stop in itertools.pairwise(ends):
        place = f' id="{places[n]}"' if n in places else ""
        parts.append(f"<div{place}>{code_lines(path, trimmed(lines, range(n, stop)), True)}</div>")
    return row(f"<h1>{html.escape(path)}</h1>", "".join(parts), kind="wide")


def document_page(path):
    """Return a document of the repository, in one column."""
    text = source.read(path)
    if not path.endswith(".md"):
        shown = f'<pre class="lines"><code>{html.escape(text)}</code></pre>'
        return row(f"<h1>{html.escape(path)}</h1>", shown, kind="wide")
    shown = render(markdown().parse(text), (source.REPOSITORY / path).parent, past=True)
    titled = "" if "<h1" in shown else f"<h1>{html.escape(path)}</h1>"
    return row(with_terms(titled + shown) if path.startswith("docs/") else titled + shown, kind="document")


def chapter_page(name, text):
    """Return a chapter as rows: each ends with the lines that it quotes, its examples and its drawings."""
    source.run_examples(name, text)
    for word in source.inline_names(text):
        source.look_up(word)
    rows, left, right = [], [], []
    for token in [*markdown().parse(text), None]:
        kind = token.info if token is not None and token.type == "fence" else ""
        aside = kind in RIGHT
        if token is None or (right and not aside) or kind == "quote":
            if left or right:
                rows.append(row(render(left, source.CHAPTERS), "".join(right), kind="chapter"))
            left, right = [], []
        if aside:
            right.append(RIGHT[kind](token.content))
        elif kind == "quote":
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


def quoted_text(reference):
    """Return what a chapter quotes from another document, and from which."""
    path, lines = source.excerpt(reference)
    tokens = markdown().parse("\n".join(lines))
    quoted = render(tokens, (source.REPOSITORY / path).parent)
    return f"<figure><figcaption>from {link(path, text=html.escape(path))}</figcaption>{quoted}</figure>"


RIGHT = dict(  # what stands in the right column, by the kind of its fence
    source=quotation,
    python=lambda text: console(text, "run when this page was made"),
    drawing=lambda text: drawing(text.strip()),
)


def quoted(body):
    """Return the functions that a chapter quotes, as path#function."""
    return re.findall(r'data-quoted="([^"]+)"', body)


def functions_of(path):
    """Return the functions of a file, as path#function."""
    return [f"{path}#{name}" for name in source.functions(path)]


def needs(body):
    """Return (the files behind a page's links, the pictures on it)."""
    return attributes(body, "data-file"), attributes(body, "data-copy")


def attributes(page, name):
    """Return the values of an attribute wherever it stands in a tag, and not in the text."""
    return [html.unescape(value) for value in re.findall(rf'<\w[^<>]*? {name}="([^"]*)"', page)]


def other_page(path):
    """Return the page of a file that is not in the reading order."""
    if path.startswith("picogpt/") and path.endswith(".py") and not Path(path).stem.startswith("__"):
        return source_page(path, {})
    return plain_page(path) if path.endswith(".py") else document_page(path)
