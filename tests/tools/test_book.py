"""The book says what the sources say: its quotations, names, links and examples are looked up and run."""

import importlib.util
import re

import pytest
from book import __main__ as book
from book import source

CHAPTERS = source.chapters()
SOURCES = [book.path_of(name) for name in book.SOURCES]
DERIVATIONS = ["softmax", "layer_norm", "gelu", "attention", "cross_entropy", "adamw"]
EXTRA = ("latex2mathml", "markdown_it", "mdit_py_plugins", "pygments")
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
        assert not [link for link in re.findall(r'(?:href|src)="([^"]+)"', text) if "//" in link], name
    assert not re.search(r"@import|url\(", (source.CHAPTERS / "style.css").read_text("utf-8"))


@needs_extra
def test_every_page_is_whole(site):
    assert {f"{name}.html" for name in book.ORDER} <= set(site)
    for name in book.ORDER:
        page = site[f"{name}.html"]
        assert page.count("<main") == page.count("</main>") == page.count("<h1") == 1, name
        assert page.count("<section") == page.count("</section>")
        assert "$$" not in page


@needs_extra
def test_formulas_are_mathml(site):
    for name in DERIVATIONS:
        assert site[f"{name}.html"].count("<math") > 8


@needs_extra
@pytest.mark.parametrize("path", SOURCES)
def test_a_source_page_has_every_line_of_code_once(path, site):
    page, text = site[book.page_name(path)], source.read(path)
    shown = [int(n) for n in re.findall(r'id="L(\d+)"', page)]
    assert shown == sorted(set(shown))
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
