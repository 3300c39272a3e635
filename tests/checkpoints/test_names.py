"""A name that is no model's is answered with one that is; a folder without a model yet, with how to go on."""

import json

import numpy as np
import pytest

from picogpt.checkpoints import names, weights
from picogpt.params.init import init_params
from picogpt.text.chars import CharEncoder
from picogpt.train.cli import train
from picogpt.train.settings import Settings

HPARAMS = dict(n_vocab=3, n_ctx=4, n_embd=4, n_head=1, n_layer=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a model in models/ and one in runs/."""
    monkeypatch.chdir(tmp_path)
    for name in ("models/Poems", "runs/bard"):
        weights.save(name, init_params(HPARAMS, np.random.default_rng(0)), HPARAMS, CharEncoder("abc"))
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Tales", "tales"),
        ("tales/", "tales"),
        ("gpt2-XL", "gpt2-xl"),
        ("GPT2", "gpt2"),
        ("124m", "124M"),
        ("1558", "1558M"),
        ("poems", "models/Poems"),
        ("models/poem", "models/Poems"),
        ("bard", "runs/bard"),
    ],
)
def test_a_name_that_is_nearly_one_is_answered_with_it(name, meant):
    with pytest.raises(ValueError, match=f"^{name} is neither a folder nor a size of GPT-2") as error:
        weights.find(name)
    assert str(error.value).endswith(f": did you mean {meant}?")


def test_all_names_are_told():
    with pytest.raises(ValueError) as error:
        weights.find("quite another")
    for name in ("tales", "124M", "1558M", "gpt2", "gpt2-xl", "models/Poems", "runs/bard"):
        assert name in str(error.value)
    assert "did you mean" not in str(error.value) and "runs/empty" not in str(error.value)


def test_of_many_models_the_first_twenty_are_told(folder):
    for n in range(22):
        (folder / "models" / f"m{n:02}").mkdir()
        (folder / "models" / f"m{n:02}" / "config.json").touch()
    with pytest.raises(ValueError) as error:
        weights.find("quite another")
    told = [f"models/m{n:02}" in str(error.value) for n in range(22)]
    assert told == [True] * 19 + [False] * 3 and "models/Poems" in str(error.value)


OTHERS = ("rm -rf /", "picogpt.train; rm -rf /", "picogpt", 3, None)


@pytest.mark.parametrize("command", ["picogpt.finetune", "picogpt.projects.adder", *OTHERS])
def test_a_folder_without_a_model_yet_says_how_to_go_on(folder, command):
    (folder / "new").mkdir()
    (folder / "new" / names.STATE).touch()
    (folder / "new" / names.SETTINGS).write_text(json.dumps(dict(command=command)))
    goes_on = f"python -m {command} --resume --out new"
    if command in OTHERS:  # what anyone may have written there is not repeated
        goes_on = "the command that began it, and --resume"
    with pytest.raises(FileNotFoundError) as error:
        weights.load("new")
    assert str(error.value) == f"new holds a training that has no model yet; go on with: {goes_on}"


def test_a_model_of_step_0_is_said_to_have_learned_nothing(folder, caplog):
    (folder / "text").write_text("To be or not to be. " * 100)
    settings = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, eval_batches=1, keep="last")
    train(Settings("text", out="new", steps=1, eval_every=1, **settings))
    weights.load("new")
    assert "learned nothing" not in caplog.text
    model = weights.load("new")
    weights.save("again", *model, step=0)
    weights.load("again")
    assert "the model in again is of step 0 of its training: it has learned nothing yet" in caplog.text
