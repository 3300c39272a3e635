"""What README.md claims is run and looked up."""

import doctest
import json
import re
import shlex
from pathlib import Path

import pytest
from processes import run_python

from picogpt import cli
from picogpt.checkpoints import weights
from picogpt.evaluate import cli as evaluate
from picogpt.explain import cli as explain
from picogpt.finetune import classify
from picogpt.finetune import cli as finetune
from picogpt.generate import generate
from picogpt.system import command
from picogpt.text.bpe import load_encoder
from picogpt.train import cli as train

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TALES = REPOSITORY / "models" / "tales"
CARD = (TALES / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize(("line", "printed"), sessions(README) + sessions(CARD), ids=lambda text: text[:60])
def test_commands_print_what_is_shown(line, printed, tmp_path):
    if "--help" in line:
        assert run(line).out == printed
        return
    done = run(f"{line} --models_dir {tmp_path}")  # where no 124M is
    prompt = shlex.split(line)[3]  # a terminal shows it before the text
    assert (done.err + prompt + done.out).rstrip("\n") == printed.rstrip("\n")


def test_the_card_s_tokenizer_is_made_as_it_says(tmp_path, monkeypatch):
    """Of another text, as this one is not in the repository."""
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "tests" / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    Path("tales.txt").write_text(text, encoding="utf-8")
    [block] = blocks(CARD, "python")
    exec(block, {})
    assert (
        load_encoder("runs/tokenizer").n_vocab == json.loads((TALES / "hparams.json").read_text())["n_vocab"]
    )


def test_the_cards_samples_are_the_models():
    params, hparams, encoder = weights.load(TALES)
    rows = re.findall(r"^\| (.+?) \| .+ \| (.+) \|$", CARD.partition("| prompt |")[2], re.MULTILINE)
    assert len(rows) == 10
    for prompt, shown in rows:
        ids = encoder.encode(prompt)
        [new] = generate(params, hparams["n_head"], [ids], 53, temperature=0.6, top_k=40, seed=1)
        assert encoder.decode(new).strip("\n").replace("\n", "<br>") == shown.replace("\\|", "|"), prompt


def test_the_python_examples_run(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    results = doctest.testfile(str(REPOSITORY / "README.md"), module_relative=False)
    assert results.attempted > 10
    assert results.failed == 0


def test_the_reading_table_tells_the_length_of_each_file():
    rows = re.findall(r"^\| \[`\S+`\]\((\S+)\) \| (\d+) \|", README, re.MULTILINE)
    assert len(rows) == 7
    for path, lines in rows:
        assert len((REPOSITORY / path).read_text(encoding="utf-8").splitlines()) == int(lines), path


def test_every_file_of_the_package_is_named():
    package = REPOSITORY / "picogpt"
    for path in [*package.glob("*.py"), *package.glob("projects/*.py")]:
        name = path.relative_to(REPOSITORY)
        by_command = f"picogpt.projects.{path.stem}" in README or path.stem == "runs"
        assert path.stem.startswith("__") or f"({name.as_posix()})" in README or by_command, name


@pytest.mark.parametrize(("text", "folder"), [(README, "."), (CARD, "models/tales")])
def test_links_lead_somewhere(text, folder):
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (REPOSITORY / folder / target).exists(), target


@pytest.mark.parametrize("text", [README, CARD])
def test_flags_in_commands_exist(text):
    seen = 0
    for line in "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines():
        for name, function, aliases in (
            ("picogpt.train", train.train, {}),
            ("picogpt.evaluate", evaluate.evaluate, {}),
            ("picogpt.explain", explain.explain, {}),
            ("picogpt.finetune", finetune.finetune, {}),
            ("picogpt.finetune.classify", classify.classify, {}),
            ("picogpt", cli.continue_text, cli.ALIASES),
        ):
            if f"python -m {name} " in line:
                command.read_flags(function, shlex.split(line.split(f"python -m {name} ", 1)[1]), aliases)
                seen += 1
    assert seen
