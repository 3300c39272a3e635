"""Control tokens in a text are ids by --special alone, in every command; and where texts begin."""

import json

import numpy as np
import pytest
from record import hf_tokenizers as record

from picogpt import cli
from picogpt.checkpoints import huggingface, weights
from picogpt.evaluate import cli as evaluate
from picogpt.explain import cli as explain
from picogpt.finetune import examples
from picogpt.gpt2 import gpt2
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.train import prepare
from picogpt.train.settings import Settings

HPARAMS = dict(n_vocab=258, n_ctx=16, n_embd=12, n_head=3, n_layer=1)
START, MARK = 256, 257  # <s>, after which a text begins and with which it ends; <u>


@pytest.fixture
def folder(tmp_path):
    """A model of Hugging Face's kind whose texts begin after <s>, as config.json and the tokenizer say."""
    params = tree_map(lambda w: 20 * w, init_params(HPARAMS, np.random.default_rng(3)))
    added = [{"id": START, "content": "<s>"}, {"id": MARK, "content": "<u>"}]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(record.whole(added=added)))
    names = {"bos_token": "<s>", "eos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(record.SLOW | names))
    huggingface.write(folder, params, HPARAMS, weights.read_encoder(folder, HPARAMS))
    return folder


def likeliest(folder, ids):
    """Return what the model finds likeliest after the ids, as text."""
    params, hparams, encoder = weights.load(folder)
    return encoder.decode([int(gpt2([ids], params, hparams["n_head"])[0, -1].argmax())])


def test_an_empty_prompt_begins_after_the_models_own_token(folder, call_command):
    done = call_command(cli.continue_text, "", f"--model={folder}", "--n=1")
    assert (done.code, done.out) == (0, likeliest(folder, [START]) + "\n")


@pytest.mark.parametrize("special", [True, False])
def test_a_prompt(folder, call_command, special):
    flags = ["--special"] if special else []
    done = call_command(cli.continue_text, "ab<u>", f"--model={folder}", "--n=1", *flags)
    ids = [64, 65, MARK] if special else [64, 65, 27, 84, 29]
    assert (done.code, done.out) == (0, likeliest(folder, ids) + "\n")


@pytest.mark.parametrize("special", [True, False])
def test_what_is_evaluated(folder, call_command, special):
    flags = ["--special"] if special else []
    done = call_command(evaluate.evaluate, "--score=a<u>b", f"--model={folder}", *flags)
    ids = [int(line.split()[1]) for line in done.out.splitlines()[:-1]]
    assert ids == ([64, MARK, 65] if special else [64, 27, 84, 29, 65])
    assert "after '<s>'" in done.out


@pytest.mark.parametrize("special", [True, False])
def test_what_is_explained(folder, call_command, special):
    flags = ["--special"] if special else []
    done = call_command(explain.explain, "a<u>b", f"--model={folder}", "--n=0", "--text", *flags)
    assert done.code == 0
    assert ("'<u>'" in done.out or "<u>" in done.out.split()) == special


@pytest.mark.parametrize("special", [True, False])
def test_what_is_trained_on(folder, tmp_path, special):
    text = tmp_path / "text.txt"
    text.write_text("ab<u>" * 100, encoding="utf-8")
    c = Settings(str(text), init=str(folder), special=special, threads=1).completed()
    *_, (train_ids, val_ids) = prepare.prepare(c, tmp_path / "out")
    assert train_ids[:3].tolist() == ([64, 65, MARK] if special else [64, 65, 27])
    assert (MARK in val_ids) == special


@pytest.mark.parametrize("special", [True, False])
def test_examples_of_a_fine_tuning(folder, special):
    encoder = weights.load_with_encoder(folder, special=special)[2]
    [(ids, n_prompt)] = examples.encode([("a<u>", "b")], encoder, 16)
    assert ids == ([START, 64, MARK, 65, START] if special else [START, 64, 27, 84, 29, 65, START])
    assert n_prompt == len(ids) - 2
