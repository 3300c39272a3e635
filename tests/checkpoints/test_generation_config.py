"""generation_config.json: followed as transformers follows it, where no flag says otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from picogpt import cli
from picogpt.checkpoints import generation_config, weights
from picogpt.generate import Choice, generate, keep_top_k, keep_top_p
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.text.bpe import load_encoder

REPOSITORY = Path(__file__).parents[2]
HPARAMS = dict(n_vocab=300, n_ctx=64, n_embd=12, n_head=3, n_layer=2)
EOT = 299


@pytest.fixture(scope="module")
def params():
    return tree_map(lambda w: w * 20, init_params(HPARAMS, np.random.default_rng(0)))


@pytest.fixture
def folder(tmp_path, params):
    weights.save(tmp_path / "model", params, HPARAMS, load_encoder(REPOSITORY / "models/gpt2-bpe", 300))
    return tmp_path / "model"


@pytest.fixture
def picogpt(folder, call_command):
    """Run the command on the model, whose generation_config.json is `said`."""

    def run(said, *argv):
        (folder / generation_config.FILE).write_text(json.dumps(said), encoding="utf-8")
        return call_command(cli.continue_text, f"--model={folder}", *argv, aliases=cli.ALIASES)

    return run


@pytest.fixture
def text(params):
    """Return what the library makes of a prompt, and its ids."""
    encoder = load_encoder(REPOSITORY / "models/gpt2-bpe", 300)

    def make(prompt, n, **settings):
        [ids] = generate(params, HPARAMS["n_head"], [encoder.encode(prompt)], n, Choice(**settings))
        return encoder.decode(ids) + "\n", ids

    return make


def test_its_length_holds_where_no_flag_is_given(picogpt, text):
    assert picogpt(dict(max_new_tokens=7), "Once").out == text("Once", 7)[0]
    assert picogpt(dict(max_new_tokens=7, max_length=60), "Once").out == text("Once", 7)[0]
    assert picogpt(dict(max_new_tokens=7), "Once", "--n", "9").out == text("Once", 9)[0]
    assert picogpt(dict(max_new_tokens=7), "Once", "--plain").out == text("Once", 40)[0]
    n_prompt = len(load_encoder(REPOSITORY / "models/gpt2-bpe", 300).encode("Once"))
    assert picogpt(dict(max_length=30), "Once").out == text("Once", 30 - n_prompt)[0]
    done = picogpt(dict(max_length=n_prompt), "Once")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith(f"allows {n_prompt} in all: give --n\n")


@pytest.mark.parametrize(
    ("said", "given", "n_prompt", "n"),
    [
        ({}, None, 5, 40),
        ({}, 3, 5, 3),
        (dict(max_new_tokens=7), None, 5, 7),
        (dict(max_new_tokens=7, max_length=9), None, 5, 7),
        (dict(max_new_tokens=7), 3, 5, 3),
        (dict(max_length=9), None, 5, 4),
        (dict(max_length=6), None, 5, 1),
        (dict(max_length=5), 3, 5, 3),
    ],
)
def test_how_many_tokens_are_added(said, given, n_prompt, n):
    assert generation_config.n_new(said, given, n_prompt) == n


def test_a_length_that_the_prompt_has_already_is_named():
    with pytest.raises(ValueError, match=r"the prompt has 5 tokens, .* allows 5 in all: give --n"):
        generation_config.n_new(dict(max_length=5), None, 5)


@pytest.mark.parametrize(
    ("said", "given", "expected"),
    [
        ({}, {}, (0.0, 0, 1.0, "openai")),
        ({}, dict(seed=0), (1.0, 0, 1.0, "openai")),
        ({}, dict(top_p=0.9), (1.0, 0, 0.9, "openai")),
        ({}, dict(top_p=1), (0.0, 0, 1, "openai")),
        ({}, dict(top_k=0), (0.0, 0, 1.0, "openai")),
        ({}, dict(temperature=0.7), (0.7, 0, 1.0, "openai")),
        (dict(do_sample=True), {}, (1.0, 50, 1.0, "openai")),
        (dict(do_sample=True), dict(temperature=0), (0, 50, 1.0, "openai")),
        (dict(do_sample=True, top_k=0, temperature=0.5), {}, (0.5, 0, 1.0, "openai")),
        (dict(do_sample=True, top_p=0.9), {}, (1.0, 50, 0.9, "hf")),
        (dict(do_sample=True, top_p=0.9), dict(top_p=0.8), (1.0, 50, 0.8, "openai")),
        (dict(do_sample=True, top_p=0.9), dict(top_p_rule="openai"), (1.0, 50, 0.9, "openai")),
        (dict(do_sample=False, temperature=0.5), {}, (0.0, 0, 1.0, "openai")),
    ],
    ids=str,
)
def test_how_each_token_is_chosen(said, given, expected):
    assert tuple(generation_config.choice(said, **given).values()) == expected


@pytest.mark.parametrize(
    ("said", "is_followed"),
    [
        (dict(max_length=1), True),
        (dict(max_length=0), False),
        (dict(max_length=2**31), True),
        (dict(max_length=2**31 + 1), False),
        (dict(top_p=1), True),
        (dict(top_p=1.01), False),
        (dict(temperature=0), True),
        (dict(temperature=-0.1), False),
        (dict(top_k=0), True),
        (dict(top_k=1.0), False),
        (dict(top_k=True), False),
        (dict(eos_token_id=0), True),
        (dict(eos_token_id=[0, 1]), True),
        (dict(eos_token_id=-1), False),
        (dict(eos_token_id=[True]), False),
        (dict(num_beams=2), False),
        (dict(bad_words_ids=[]), True),
    ],
    ids=str,
)
def test_where_the_bounds_of_what_is_followed_are(said, is_followed):
    if is_followed:
        assert generation_config.followed(said).keys() <= said.keys()
    else:
        with pytest.raises(ValueError, match=next(iter(said))):
            generation_config.followed(said)


@pytest.mark.parametrize("key", generation_config.NEUTRAL)
def test_each_key_that_would_change_the_text_is_refused_unless_it_changes_nothing(key):
    neutral = generation_config.NEUTRAL[key]
    assert generation_config.followed({key: neutral}) == {}
    wrong = neutral + 1 if isinstance(neutral, int | float) else {"some": "thing"}
    with pytest.raises(ValueError, match=f"^{key} is .*, and picogpt computes nothing of the kind"):
        generation_config.followed({key: wrong})


def test_the_keys_that_are_refused_are_these():
    whole = "num_beams num_return_sequences min_length min_new_tokens top_h epsilon_cutoff eta_cutoff"
    whole += " penalty_alpha guidance_scale forced_bos_token_id forced_eos_token_id bad_words_ids"
    whole += " suppress_tokens begin_suppress_tokens sequence_bias stop_strings watermarking_config"
    whole += " exponential_decay_length_penalty dola_layers constraints force_words_ids"
    whole += " encoder_repetition_penalty encoder_no_repeat_ngram_size num_beam_groups diversity_penalty"
    whole += " forced_decoder_ids token_healing max_time"
    assert generation_config.NEUTRAL.keys() == {*whole.split()}


def test_its_end_is_not_written(picogpt, text):
    whole, ids = text("Once", 40)
    end = ids[20]
    n = ids.index(end)
    for said in (end, [EOT, end]):
        assert picogpt(dict(eos_token_id=said), "Once").out == text("Once", n)[0]
    assert picogpt(dict(eos_token_id=end), "Once", "--n", "2").out == text("Once", 2)[0]
    assert picogpt(dict(eos_token_id=end), "Once", "--plain").out == whole
    both = picogpt(dict(eos_token_id=end), "Once", "--n_samples", "2")
    assert both.out == text("Once", n)[0] * 2


def test_its_way_to_choose_holds_where_no_flag_is_given(picogpt, text):
    said = dict(do_sample=True, temperature=0.7, top_k=9, top_p=0.8)
    chosen = dict(temperature=0.7, top_k=9, top_p=0.8, top_p_rule="hf", seed=1)
    assert picogpt(said, "Once", "--seed", "1").out == text("Once", 40, **chosen)[0]
    assert picogpt(said, "Once", "--temperature", "0").out == text("Once", 40)[0]
    fewer = picogpt(said, "Once", "--seed", "1", "--top_k", "3", "--top_p_rule", "openai").out
    assert fewer == text("Once", 40, **chosen | dict(top_k=3, top_p_rule="openai"))[0]
    assert picogpt(said | dict(do_sample=False), "Once").out == text("Once", 40)[0]
    plain = picogpt(said, "Once", "--seed", "1", "--plain").out
    assert plain == text("Once", 40, temperature=1.0, seed=1)[0]


def test_verbose_names_what_it_says(picogpt):
    done = picogpt(dict(eos_token_id=EOT, max_new_tokens=5, transformers_version="5"), "Once", "-v")
    assert "generation_config.json, where no flag says otherwise: max_new_tokens 5, eos_token_id [299]" in (
        done.err
    )
    assert "generation_config" not in picogpt({}, "Once", "-v").err


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (dict(penalty_alpha=0.6), "penalty_alpha is 0.6, and picogpt computes nothing of the kind"),
        (dict(num_beams=4), "num_beams is 4"),
        (dict(bad_words_ids=[[1]]), "bad_words_ids is [[1]]"),
        (dict(max_new_tokens=0), "max_new_tokens is 0, but must be from 1 to"),
        (dict(max_new_tokens=2.5), "max_new_tokens is 2.5, but must be a whole number"),
        (dict(temperature="hot"), "temperature is 'hot', but must be a number"),
        (dict(top_p=1.5), "top_p is 1.5, but must be from 0 to 1"),
        (dict(top_k=True), "top_k is True, but must be a whole number"),
        (dict(do_sample=1), "do_sample is 1, but must be true or false"),
        (dict(eos_token_id="end"), "eos_token_id is 'end', but must be a token's id"),
        ([1], "cannot be followed"),
    ],
    ids=str,
)
def test_what_cannot_be_followed_is_refused(picogpt, said, why):
    done = picogpt(said, "Once")
    assert (done.code, done.out) == (1, "")
    assert why in done.err and done.err.count("\n") == 1
    assert done.err.endswith("; --plain leaves it aside\n")
    assert picogpt(said, "Once", "--plain").code == 0


def test_what_changes_nothing_is_no_matter(picogpt, text):
    said = dict(repetition_penalty=1, num_beams=1, bad_words_ids=None, suppress_tokens=[], top_p=None)
    assert picogpt(said | dict(use_cache=True, pad_token_id=3), "Once").out == text("Once", 40)[0]


def test_a_terminal_shows_no_end_of_a_document_unasked(folder, params):
    """Of a model that says nothing but <|endoftext|>, and has no file that would end the text there."""
    pty = pytest.importorskip("pty", reason="this test needs a terminal as Unix has them")
    only = tree_map(np.zeros_like, params)
    only["wte"][EOT] = only["ln_f"]["b"][...] = 1
    weights.save(folder, only, HPARAMS, load_encoder(REPOSITORY / "models/gpt2-bpe", 300))

    def shown(*flags):
        master, slave = pty.openpty()
        words = [sys.executable, "-m", "picogpt", "Once", "--n=2", f"--model={folder}", *flags]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=slave, env=environment):
            os.close(slave)
            written = b""
            try:
                while piece := os.read(master, 4096):
                    written += piece
            except OSError:
                pass
        os.close(master)
        return written.decode().replace("\r\n", "\n")

    assert shown() == "Once\n\n\n\n\n"
    assert shown("--plain") == "Once" + 2 * "<|endoftext|>" + "\n"


# Beside transformers


@pytest.fixture
def theirs(folder, params, tmp_path):
    """Return the model in Hugging Face's folder, and as its library loads it with a generation_config."""
    transformers = pytest.importorskip("transformers", reason="compares with transformers, live")
    from picogpt.checkpoints import huggingface

    encoder = load_encoder(REPOSITORY / "models/gpt2-bpe", 300)
    encoder.save(tmp_path / "hf")
    huggingface.write(tmp_path / "hf", params, HPARAMS, encoder)

    def load(said):
        (tmp_path / "hf" / generation_config.FILE).write_text(json.dumps(said), encoding="utf-8")
        return tmp_path / "hf", transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "hf")

    return load


@pytest.mark.parametrize(
    "said", [dict(max_new_tokens=9), dict(max_length=25), dict(max_new_tokens=40)], ids=str
)
def test_greedy_text_ends_where_transformers_ends_it(theirs, text, call_command, said):
    import torch

    encoder = load_encoder(REPOSITORY / "models/gpt2-bpe", 300)
    ids = encoder.encode("Once")
    said = said | dict(eos_token_id=text("Once", 40)[1][20])
    path, model = theirs(said)
    expected = model.generate(torch.tensor([ids]))[0, len(ids) :].tolist()
    expected = [i for i in expected if i != said["eos_token_id"]]
    done = call_command(cli.continue_text, f"--model={path}", "Once", aliases=cli.ALIASES)
    assert done.out == encoder.decode(expected) + "\n"


@pytest.mark.parametrize(
    "said",
    [{}, dict(temperature=0.5), dict(top_k=7), dict(top_p=0.6), dict(temperature=1.5, top_k=30, top_p=0.8)],
    ids=str,
)
def test_the_probabilities_are_transformers(theirs, params, said):
    import torch

    said = said | dict(do_sample=True, max_new_tokens=1, eos_token_id=EOT)
    path, model = theirs(said)
    ids = list(range(40, 50))
    made = model.generate(torch.tensor([ids]), output_scores=True, return_dict_in_generate=True)
    choice = generation_config.choice(generation_config.read(path))
    logits = gpt2(np.array([ids]), params, HPARAMS["n_head"], n_last=1)[:, 0] / choice["temperature"]
    ours = softmax(keep_top_p(keep_top_k(logits, choice["top_k"]), choice["top_p"], choice["top_p_rule"]))
    np.testing.assert_allclose(ours, made.scores[0].softmax(-1).numpy(), atol=1e-5)
