"""From docstrings, Markdown and code to HTML: links to what is named, formulas, colours, glossary."""

import ast
import html
import re
import textwrap
from functools import cache
from pathlib import Path

from book import formulas, source

TAG = re.compile(r"(<[^>]+>)")
CLOSED = "a code pre h1 h2 h3 math svg figcaption summary".split()  # noqa: SIM905  where no term is linked
BOX = re.compile(r" {2,}")  # what parts the columns of an indented block


@cache
def page_name(path):
    """Return the name of a file's page: ops.html of picogpt/ops.py, docs-speed.html of docs/speed.md."""
    path = Path(path)
    room = (
        path.parent.as_posix().replace("picogpt", "").replace("docs/book", "").strip("./").replace("/", "-")
    )
    taken = path.suffix == ".py" and path.parent.name == "picogpt" and path.stem in source.chapters()
    return ("picogpt-" if taken else "") + (f"{room}-" if room else "") + f"{path.stem}.html"


def link(path, function="", text=None, line=None):
    """Return a link to a file, a function in it, or a line."""
    anchor = f"L{line}" if line else function
    place = f"#{anchor}" if anchor else ""
    text = text or html.escape(function or Path(path).name)
    return f'<a href="{page_name(path)}{place}" data-file="{path}">{text}</a>'


def inline(text):
    """Return plain prose as HTML: what stands in backticks is code, and leads to what it names."""
    parts = re.split(r"`+([^`]+)`+", text)
    return "".join(code(part) if n % 2 else html.escape(part) for n, part in enumerate(parts))


def code(text, past=False):
    """Return a piece of code in a sentence, as a link if it names a function or a file of the repository.

    ValueError if it names one that is not there, unless the text is of the `past`, too.
    """
    try:
        found = source.look_up(text)
    except (ValueError, FileNotFoundError):
        if not past:
            raise
        found = None
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


def console(text, caption):
    """Return an example of Python's console, in colours."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonConsoleLexer

    marked = highlight(text, PythonConsoleLexer(), HtmlFormatter(nowrap=True))
    return f"<figure><figcaption>{caption}</figcaption><pre><code>{marked}</code></pre></figure>"


def blocks(text):
    """Return a docstring's paragraphs as lists of lines; a heading of numpydoc is one of its own."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        titled = len(lines) > 1 and re.fullmatch(r"-+", lines[1])
        found += [lines[:2], lines[2:]] if titled else [lines]
    return [lines for lines in found if lines]


def docstring(text):
    """Return (prose, examples) of a docstring as HTML: paragraphs, formulas, boxes, sections of numpydoc."""
    parts, examples = [], []
    for lines in blocks(text):
        indented = all(line.startswith("    ") for line in lines)
        if len(lines) == 2 and re.fullmatch(r"-+", lines[1]):
            parts.append(f"<h3>{html.escape(lines[0])}</h3>")
        elif any(re.match(r"[\w, ]+ : ", line) for line in lines) and not indented:
            parts.append(definitions(lines))
        elif lines[0].startswith(">>> "):
            examples.append(console("\n".join(lines) + "\n", "run by the tests"))
        elif indented:
            parts.append(box(lines))
        else:
            parts.append(paragraph(lines))
    return "".join(parts), "".join(examples)


def paragraph(lines):
    """Return a paragraph; lines that are formulas stand by themselves."""
    parts, words = [], []
    for line in [*lines, None]:
        shown = line and re.match(r"\S.{0,24} = ", line) and not line.endswith(".") and formulas.block(line)
        if words and (shown or line is None):
            parts.append(f"<p>{formulas.sentence(' '.join(words), inline)}</p>")
            words = []
        if shown:
            parts.append(shown)
        elif line:
            words.append(line.strip())
    return "".join(parts)


def box(lines):
    """Return an indented block: a table if it has columns, else text as it is written."""
    lines = textwrap.dedent("\n".join(lines)).splitlines()
    if not any(BOX.search(line.strip()) for line in lines):
        return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
    rows = []
    for line in lines:
        if line.startswith(" ") and rows:  # the last column goes on
            rows[-1][-1] += " " + line.strip()
        else:
            rows.append(BOX.split(line))
    width = max(map(len, rows))
    cells = [row + [""] * (width - len(row)) for row in rows]
    shown = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in cells)
    return f'<table class="box">{shown}</table>'


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
    reader.add_render_rule(
        "code_inline", lambda self, tokens, i, options, env: code(tokens[i].content, **env)
    )
    return reader


def render(tokens, folder, past=False):
    """Return tokens of Markdown as HTML; links to files of the repository lead to their pages.

    `past`: the text may name functions and files that are no more, as a list of changes does.
    """
    for n, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(tokens[n + 1].content))
        opened = None
        for child in token.children or ():
            target = child.attrs.get("href" if child.type == "link_open" else "src", "")
            if child.type in ("link_open", "image") and "://" not in target:
                local_link(child, target, folder)
            if child.type == "link_close":
                child.tag = opened.tag
            opened = child if child.type == "link_open" else opened
    return markdown().renderer.render(tokens, markdown().options, dict(past=past))


def local_link(token, target, folder):
    """Let a link or a picture of a document lead to its page in the book, or to a copy of the file."""
    target, _, place = target.partition("#")
    if not target:
        return
    path = (folder / target).resolve().relative_to(source.REPOSITORY).as_posix()
    if token.type == "image":
        token.attrs["src"] = Path(path).name
        token.attrs["data-copy"] = path
    elif source.is_text(path):
        token.attrs["href"] = page_name(path) + "#" * bool(place) + place
        token.attrs["data-file"] = path
    else:  # a folder, or what is no text: it has no page
        token.tag = "span"
        token.attrs = {}


def anchor(heading):
    """Return the place of a heading on its page, as GitHub names it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@cache
def terms():
    """Return {term in lower case: its place in the glossary}; a heading "head, heads" has two of them."""
    headings = re.findall(r"^## (.+)$", source.chapters()["glossary"], re.MULTILINE)
    return {word.strip().lower(): anchor(heading) for heading in headings for word in heading.split(",")}


def with_terms(page):
    """Return a page on which the first use of each term of the glossary leads there."""
    todo, depth, parts = dict(terms()), 0, []
    words = sorted(todo, key=len, reverse=True)
    pattern = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, words)) + r")(?![\w-])", re.IGNORECASE)

    def linked(match):
        place = terms()[match[1].lower()]
        if place not in todo.values():
            return match[0]
        for word in [word for word, at in todo.items() if at == place]:
            del todo[word]
        return f'<a class="term" href="glossary.html#{place}">{match[0]}</a>'

    for part in TAG.split(page):
        tag = re.match(r"</?(\w+)", part)
        if tag and tag[1] in CLOSED:
            depth += -1 if part.startswith("</") else 1
        parts.append(part if tag or depth else pattern.sub(linked, part))
    return "".join(parts)
