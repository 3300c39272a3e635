"""The book says what the sources say: its quotations, names, links and examples are looked up and run."""

import html
import importlib.util
import math
import re
import shutil

import pytest
from book import __main__ as book
from book import drawings, formulas, markup, pages, source
from processes import run_python

from picogpt.exercises.lay_out import LADDER

CHAPTERS = source.chapters()
SOURCES = [book.path_of(name) for name in book.SOURCES]
DERIVATIONS = ["softmax", "layer_norm", "gelu", "attention", "cross_entropy", "adamw"]
EXTRA = ("latex2mathml", "markdown_it", "mdit_py_plugins", "pygments")
WRAPPED = """[...document.querySelectorAll('.row:not(.wide) .prose pre')].filter(
    pre => getComputedStyle(pre).whiteSpace != 'pre' || pre.scrollWidth > pre.clientWidth
).map(pre => pre.innerText)"""
needs_extra = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in EXTRA),
    reason='the book is made with pip install -e ".[book]"',
)


def fences(language):
    """Return (chapter, text) of all fenced blocks of a language."""
    return [
        (name, text)
        for name in CHAPTERS
        for kind, text in source.FENCE.findall(CHAPTERS[name])
        if kind == language
    ]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(source.REPOSITORY)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source.REPOSITORY)
        return book.build(tmp_path_factory.mktemp("book") / "site")


def test_every_chapter_has_its_place_in_the_reading_order():
    assert sorted(book.ORDER) == sorted([*CHAPTERS, *book.SOURCES])


def test_the_reading_order_is_the_readmes():
    table = re.findall(r"^\| \[`(\w+)\.py`\]", source.read("README.md"), re.MULTILINE)
    order = [name.rpartition("-")[2] for name in book.ORDER]
    assert [name for name in order if name in table] == table


def test_every_quotation_is_in_the_sources():
    for name, text in fences("source"):
        for reference in text.splitlines():
            path, _, numbers = source.quote(reference)
            assert len(numbers) < 16, f"{name} quotes half of {path}"
    for _, text in fences("quote"):
        assert source.excerpt(text)[1]


def test_what_a_chapter_names_is_there():
    named = [source.look_up(word) for text in CHAPTERS.values() for word in source.inline_names(text)]
    assert ("picogpt/ops.py", "softmax") in named


@pytest.mark.parametrize("name", [name for name in CHAPTERS if "```python" in CHAPTERS[name]])
def test_the_examples_print_what_is_shown(name):
    assert source.run_examples(name, CHAPTERS[name]) > 10


def test_each_derivation_ends_in_a_line_and_an_example():
    for name in DERIVATIONS:
        kinds = [kind for kind, _ in source.FENCE.findall(CHAPTERS[name])]
        assert kinds.count("source") >= 2
        assert "python" in kinds


@pytest.mark.parametrize("path", SOURCES)
def test_every_function_of_the_book_has_a_test(path):
    for name in source.functions(path):
        assert source.tests_of(path, name)[0], name


def test_tests_and_mirrors_are_found_by_what_they_mention():
    tests, through = source.tests_of("picogpt/ops.py", "softmax")
    assert {test.path for test in tests[:2]} == {"tests/core/test_ops.py"}
    assert "test_softmax_of_huge_numbers_is_finite" in {test.name for test in tests}
    assert through == ()
    assert source.tests_of("picogpt/gpt2.py", "KVCache.extend")[1] == ("attend", "self_attention")
    assert source.mirror("softmax") == ("picogpt/grad.py", "softmax_backward")
    assert source.mirror("softmax_backward") == ("picogpt/ops.py", "softmax")
    assert source.mirror("causal_mask") is None


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("ops.py softmin | y = np.exp", "no function softmin"),
        ("ops.py softmax | y = np.tanh", "0 lines of softmax"),
        ("ops.py softmax | axis=-1", "2 lines of softmax"),
        ("opera.py softmax | y", "opera.py is not in the repository"),
    ],
)
def test_a_quotation_that_is_gone_is_an_error(reference, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        source.quote(reference)


@pytest.mark.parametrize("name", ["ops.softmin", "opera.py", "docs/slow.md"])
def test_a_name_that_is_gone_is_an_error(name):
    with pytest.raises((ValueError, FileNotFoundError), match="must change"):
        source.look_up(name)


def test_words_that_are_no_names_are_left_alone():
    assert [source.look_up(word) for word in ("np.exp(x)", "x**3", "dtype", "README")] == [None] * 4


def test_a_row_of_a_table_that_is_gone_is_an_error():
    with pytest.raises(ValueError, match="must change"):
        source.excerpt("docs/speed.md\n| no such work")


def test_an_example_that_prints_something_else_is_an_error():
    with pytest.raises(ValueError, match="an example of the chapter x is wrong"):
        source.run_examples("x", "```python\n>>> 1 + 1\n3\n```\n")


def test_a_dead_link_is_an_error():
    with pytest.raises(ValueError, match=r"b\.html"):
        book.check_links({"a.html": '<a href="b.html">'})
    with pytest.raises(ValueError, match="#there"):
        book.check_links({"a.html": '<a href="b.html#there">', "b.html": '<p id="here">'})


@needs_extra
def test_the_book_needs_nothing_from_elsewhere(site):
    for name, text in site.items():
        assert not re.search(r"<script|<iframe|<style", text), name
        assert not [link for link in pages.attributes(text, "src") if "//" in link], name
        if name.removesuffix(".html") in book.ORDER:  # documents lead to the papers that they name
            assert not [link for link in pages.attributes(text, "href") if "//" in link], name
    assert not re.search(r"@import|url\(", (source.CHAPTERS / "style.css").read_text("utf-8"))


@needs_extra
def test_every_page_is_whole(site):
    assert {f"{name}.html" for name in book.ORDER} <= set(site)
    for name in book.ORDER:
        page = site[f"{name}.html"]
        assert page.count("<main") == page.count("</main>") == page.count("<h1") == 1, name
        assert page.count("<section") == page.count("</section>")
        assert "$$" not in page
    for name in [name for name in site if name.startswith("docs-")]:
        for tag in ("a", "span"):  # which a link to a folder becomes, as that has no page
            begun = len(re.findall(rf"<{tag}[ >]", site[name]))
            assert begun == site[name].count(f"</{tag}>"), (name, tag)


@needs_extra
def test_formulas_are_mathml(site):
    for name in DERIVATIONS:
        assert site[f"{name}.html"].count("<math") > 8


@needs_extra
@pytest.mark.parametrize("path", SOURCES)
def test_a_source_page_has_every_line_of_code_once(path, site):
    page, text = site[book.page_name(path)], source.read(path)
    shown = [int(n) for n in re.findall(r'id="L(\d+)"', page)]
    assert sorted(shown) == sorted(set(shown))
    assert not re.match(r"import |from ", text.splitlines()[shown[0] - 1])
    documented = set(range(1, source.ast.parse(text).body[0].end_lineno + 1))
    for node in source.functions(path).values():
        if source.ast.get_docstring(node):
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for n, line in enumerate(text.splitlines(), start=1):
        assert n in shown or n in documented or not line.strip(), line
    for name in source.functions(path):
        assert f'id="{name}"' in page


@needs_extra
def test_a_function_leads_to_its_mirror_its_chapter_and_its_tests(site):
    part = site["ops.html"].split('id="softmax"')[1].split("<section")[0]
    for place in (
        "grad.html#softmax_backward",
        "softmax.html",
        "tests-core-test_ops.html#test_softmax_of_huge",
    ):
        assert place in part
    folded = part.split("<details><summary>and ")[1]
    assert int(folded.split(" more")[0]) == folded.split("</details>")[0].count("<a ")


@needs_extra
def test_a_page_ends_with_how_long_it_takes_and_its_exercises(site):
    for name in set(book.ORDER) - {"index", "glossary"}:
        end = site[f"{name}.html"].split('<section class="row ending">')[1]
        assert re.search(r"<p>\d+ minutes to read\.</p>", end)
        rungs = re.findall(r"exercises check (\w+)", end)
        assert set(rungs) <= set(LADDER)
        if name in ("ops", "gpt2", "grad", "generate", "train-optim", *DERIVATIONS):
            assert rungs
    assert "exercises check pico</pre>" in site["pico.html"]
    assert "exercises check adamw</pre>" in site["adamw.html"]


@needs_extra
def test_drawings_are_described_and_take_the_pages_colours(site):
    shown = [
        svg for name in book.ORDER for svg in re.findall(r"<svg.*?</svg>", site[f"{name}.html"], re.DOTALL)
    ]
    named = {re.search(r'id="(\w+)-title"', svg)[1] for svg in shown}
    assert named == set(drawings.DRAWINGS)
    assert len(named) >= 10
    for svg in shown:
        assert 'role="img"' in svg
        assert len(re.search(r"<desc[^>]*>(.*?)</desc>", svg)[1]) > 60
        assert not re.search(r"#[0-9a-f]{3}|rgb|NaN|\binf\b", svg)
        assert int(re.search(r'viewBox="0 0 380 (\d+)"', svg)[1]) < 500


def test_drawings_show_what_the_code_computes():
    said = str(drawings.softmax_drawing())
    powers = [math.exp(x) for x in (2, 1, 0, -1)]
    assert all(f">{p / sum(powers):.2f}<" in said for p in powers)
    assert "call 1 computes 3 and finds 0; call 2 computes 1 and finds 3" in str(drawings.cache())
    assert "0.10 at the end" in str(drawings.schedule())  # min_lr
    crossed = str(drawings.mask()).count('class="faint"')
    assert crossed == 10 + 1 + 10 + 9  # above three diagonals, and in two columns of padding


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("y = x w + b", "y = x w + b"),
        ("dx = dy w^T", "d x = d y w T"),
        ("n = (x - mean) / std", "n = x − mean std"),
        ("y = x / 2 * (1 + t)", "y = x 2 ⋅ ( 1 + t )"),
        ("du/dx = sqrt(2 / pi) * (1 + 3 * x^2)", "d u d x = 2 π ⋅ ( 1 + 3 ⋅ x 2 )"),
        ("softmax(x)_i = e^x_i / sum_j e^x_j", "softmax ( x ) i = e x i ∑ j e x j"),
    ],
)
def test_a_formula_of_a_docstring_is_set(plain, shown):
    html_, end = formulas.read(plain)
    assert end == len(plain)
    assert " ".join(html.unescape(re.sub(r"<[^>]+>", " ", html_)).split()) == shown
    assert html_.count("<mfrac>") == plain.count("/")
    assert html_.count("<m") - html_.count("<mspace") == html_.count("</m")


def test_a_formula_ends_where_the_sentence_goes_on():
    text = "With y = softmax(x): dx = y * (dy - sum(y * dy))"
    assert formulas.sentence(text, str.upper).startswith("WITH <math>")
    assert formulas.sentence(text, str.upper).count("<math>") == 2
    assert (
        formulas.sentence("it is 3 = three, as b is not known", str) == "it is 3 = three, as b is not known"
    )
    assert formulas.sentence("`a = b` is code", str) == "`a = b` is code"


@needs_extra
def test_formulas_of_docstrings_are_mathml(site):
    for name, least in dict(pico=10, ops=7, grad=12).items():
        assert site[f"{name}.html"].count("<math>") >= least
    assert "running means" in site["train-optim.html"].split('class="formula"')[1]
    assert "0.044715 * x^3" not in re.sub(r"<pre.*?</pre>", "", site["ops.html"], flags=re.DOTALL)


def test_a_term_of_the_glossary_is_one_sentence_and_a_line():
    for part in re.split(r"^## ", CHAPTERS["glossary"], flags=re.MULTILINE)[1:]:
        said = " ".join(part.split("```")[0].split("\n", 1)[1].split())
        assert said.endswith(".") and ". " not in said, said
        assert len(source.FENCE.findall(part)) == 1
    assert len(markup.terms()) > 60


@needs_extra
def test_the_first_use_of_a_term_leads_to_the_glossary(site):
    for name in set(book.ORDER) - {"index", "glossary", "gelu"}:
        places = re.findall(r'<a class="term" href="glossary.html#([^"]+)"', site[f"{name}.html"])
        assert len(set(places)) == len(places) > 0, name
    assert "softmax-softmax" not in site["ops.html"]
    assert not re.search(r"<h\d[^>]*>[^<]*<a class=.term", "".join(site.values()))


@needs_extra
def test_documents_and_book_find_each_other(site):
    assert 'href="docs-README.html"' in site["index.html"]
    assert 'href="index.html"' in site["docs-README.html"]
    for path in (source.REPOSITORY / "docs").glob("*.md"):
        assert f"docs-{path.stem}.html" in site


def test_a_wrong_flag_is_one_line():
    done = run_python("tools/book", "--oops")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "--oops" in done.err


def test_open_shows_it(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(book, "build", lambda out, sample: {})
    monkeypatch.setattr(book.webbrowser, "open", opened.append)
    book.book(out=str(tmp_path), open=True)
    assert opened == [(tmp_path / "index.html").as_uri()]


@needs_extra
def test_nothing_on_the_left_wraps(site, tmp_path_factory):
    api = pytest.importorskip("playwright.sync_api", reason='needs playwright: pip install -e ".[browser]"')
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs an installed Chromium: apt install chromium")
    folder = tmp_path_factory.mktemp("pages")
    for name, text in site.items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=1280, height=900))
        for name in book.ORDER:
            page.goto(folder.joinpath(f"{name}.html").as_uri())
            assert page.evaluate(WRAPPED) == [], name
            page.set_viewport_size(dict(width=390, height=800))
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
            page.set_viewport_size(dict(width=1280, height=900))
        browser.close()
