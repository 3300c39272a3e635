"""What README.md and the pages of docs/ claim is run and looked up."""

import doctest
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from docs import files
from picogpt import cli
from picogpt.checkpoints import weights
from picogpt.evaluate import cli as evaluate
from picogpt.explain import cli as explain
from picogpt.finetune import classify
from picogpt.finetune import cli as finetune
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.projects import adder, chars, sorter, talk, words
from picogpt.sizing import cli as sizing
from picogpt.system import command
from picogpt.text.bpe import load_encoder
from picogpt.train import cli as train
from picogpt.train import journal

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TALES = REPOSITORY / "models" / "tales"
CARD = (TALES / "README.md").read_text(encoding="utf-8")
DOCS = REPOSITORY / "docs"
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        TALES / "README.md",
        *DOCS.glob("*.md"),
    ]
}
COMMANDS = {  # of `python -m`: the function whose parameters are its flags, and its other names of these
    "picogpt.train": (train.train, {}),
    "picogpt.evaluate": (evaluate.evaluate, {}),
    "picogpt.explain": (explain.explain, {}),
    "picogpt.sizing": (sizing.sizing, {}),
    "picogpt.finetune": (finetune.finetune, {}),
    "picogpt.finetune.classify": (classify.classify, {}),
    "picogpt.projects.adder": (adder.adder, {}),
    "picogpt.projects.chars": (chars.chars, {}),
    "picogpt.projects.sorter": (sorter.sorter, {}),
    "picogpt.projects.talk": (talk.talk, {}),
    "picogpt.projects.words": (words.words, {}),
    "picogpt": (cli.continue_text, cli.ALIASES),
}


def blocks(text, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def sessions(text):
    """Return (command, what it prints) of each `$ command` in the console blocks."""
    parts = [part for block in blocks(text, "console") for part in ("\n" + block).split("\n$ ")[1:]]
    return [tuple(part.split("\n", 1)) for part in parts]


def run(line):
    """Run a command of the README with this Python."""
    program, *words = shlex.split(line)
    assert program == "python"
    done = run_python(*words, folder=REPOSITORY)
    assert done.code == 0, done.err
    return done


TYPED = ("python -m picogpt -i", "python -m picogpt.chat")  # tests/chat/test_session.py types there
SESSIONS = [found for text in PAGES.values() for found in sessions(text) if not found[0].startswith(TYPED)]


@pytest.mark.parametrize(("line", "printed"), SESSIONS, ids=lambda text: text[:60])
def test_commands_print_what_is_shown(line, printed, tmp_path):
    if "--help" in line:
        assert run(line).out == printed
        return
    done = run(f"{line} --models_dir {tmp_path}")  # where no 124M is
    if line.startswith("python -m picogpt "):
        prompt = shlex.split(line)[3]  # a terminal shows it before the text
        assert (done.err + prompt + done.out).rstrip("\n") == printed.rstrip("\n")
    else:
        assert done.out == printed


def test_the_card_s_tokenizer_is_made_as_it_says(tmp_path, monkeypatch):
    """Of another text, as this one is not in the repository."""
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "tests" / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    Path("stories.txt").write_text(text, encoding="utf-8")
    exec(blocks(CARD, "python")[0], {})
    assert (
        load_encoder("runs/tokenizer").n_vocab == json.loads((TALES / "hparams.json").read_text())["n_vocab"]
    )


def test_the_card_s_mean_is_that_of_two_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params, hparams, encoder = weights.load_with_encoder(TALES)
    weights.save("runs/fourth", params, hparams, encoder)
    weights.save("runs/fifth", tree_map(lambda w: 3 * w, params), hparams, encoder)
    weights.save("runs/stored", tree_map(lambda w: 2 * w, params), hparams, encoder)
    weights.save("runs/sixth", tree_map(lambda w: 6 * w, params), hparams, encoder)
    exec("\n".join(blocks(CARD, "python")[1:]), {})
    for folder, factor in (("runs/both", 2), ("runs/mean", 4)):
        mean = flatten(weights.load(folder)[0])
        for path, w in walk(params):
            np.testing.assert_array_equal(mean[path], factor * w, err_msg=path)


def test_the_cards_losses_are_those_of_the_log():
    evaluations = [record for record in journal.read_log(TALES / "log.jsonl") if "val_loss" in record]
    rows = {
        name: [cell.strip() for cell in cells.split("|")]
        for name, cells in re.findall(
            r"^\| (update|training|held-out) \| ([\d., |]+) \|$", CARD, re.MULTILINE
        )
    }
    shown = {
        int(step.replace(",", "")): pair
        for step, *pair in zip(rows["update"], rows["training"], rows["held-out"], strict=True)
    }
    assert len(shown) > 5
    for record in evaluations:
        if record["step"] in shown:
            pair = shown.pop(record["step"])
            assert pair == [f"{record[key]:.2f}" for key in ("train_loss", "val_loss")]
    assert shown == {}


def test_the_python_examples_run(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    results = doctest.testfile(str(DOCS / "python.md"), module_relative=False)
    assert results.attempted > 10
    assert results.failed == 0


def test_readme_is_short_and_has_the_two_commands_that_set_everything_up():
    assert len(README.splitlines()) <= 150
    setup = "\n".join(blocks(README, "sh"))
    assert 'pip install -e . && python -m picogpt "' in setup
    assert 'pip install -e ".[test]" && python -m pytest' in setup


def test_the_tables_of_files_are_as_they_are():
    assert len(re.findall(r"^\| \[`\w+\.py`\]", README, re.MULTILINE)) == 8
    assert files.readme(README) == README, "run python tools/docs/files.py"
    assert files.rooms_page() == PAGES["docs/rooms.md"], "run python tools/docs/files.py"


def test_the_index_names_every_page():
    assert {f"docs/{name}" for name in re.findall(r"\]\((\w+\.md)\)", PAGES["docs/README.md"])} == {
        name for name in PAGES if name.startswith("docs/") and name != "docs/README.md"
    }


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for target, place in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", PAGES[name]):
        path = (REPOSITORY / name).parent / target if target else REPOSITORY / name
        assert target.startswith("https://") or path.exists(), target
        if place and path.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings], place


@pytest.mark.parametrize("name", PAGES)
def test_functions_that_a_page_names_exist(name):
    for path, function in re.findall(r"`([\w/]+\.py):(\w+)`", PAGES[name]):
        found = next(p for p in (REPOSITORY / "picogpt" / path, REPOSITORY / path) if p.exists())
        assert re.search(rf"^def {function}\(", found.read_text(encoding="utf-8"), re.MULTILINE), function


def commands(text):
    """Yield the lines of the shell that a page shows, in blocks and in its tables, less their comments."""
    for line in "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines():
        yield line.partition("  # ")[0]
    yield from re.findall(r"^\|.*?`((?:pip|python) [^`]+)`", text, re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_flags_in_commands_exist(name):
    for line in commands(PAGES[name]):
        for part in line.split("&&"):
            found = re.match(r"\s*python -m (picogpt\S*)(.*)", part)
            if found and found[1] in COMMANDS:
                function, aliases = COMMANDS[found[1]]
                command.read_flags(function, shlex.split(found[2].partition(" < ")[0]), aliases)


def test_nobody_is_told_to_install_another_project_of_this_name():
    """PyPI's picogpt is not this one: what is to be installed is this checkout, with its extras."""
    for folder in ("picogpt", "tools", "tests", "docs", "models"):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".html", ".txt", ".yml") and path != Path(__file__):
                assert not re.search(r"pip install \W*picogpt", path.read_text(encoding="utf-8")), path
    assert not any(re.search(r"pip install \W*picogpt", text) for text in PAGES.values())
