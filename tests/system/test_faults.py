"""Bad input as a user would give it, and the table of all that in docs/faults.md."""

import functools
import json
import os
import pickle
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints import bundle, safetensors, weights
from picogpt.generate import generate
from picogpt.params.init import init_params
from picogpt.params.shapes import SIZES
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder
from picogpt.train import cli as train
from picogpt.train.settings import Settings

TESTS = Path(__file__).parents[1]
OPENAI = TESTS / "data" / "gpt2-124M"
HPARAMS = dict(n_vocab=300, n_ctx=32, n_embd=12, n_head=3, n_layer=2)


def test_the_tests_that_the_table_names_exist():
    table = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", table))
    there = re.findall(
        r"^def (test_\w+)", "".join(path.read_text() for path in TESTS.rglob("test_*.py")), re.M
    )
    assert len(named) > 20
    assert named - set(there) == set()


@pytest.fixture
def folder(tmp_path):
    """A folder with a small model that reads bytes."""
    encoder = load_encoder(TESTS.parent / "models" / "gpt2-bpe", HPARAMS["n_vocab"])
    weights.save(tmp_path / "model", init_params(HPARAMS, np.random.default_rng(0)), HPARAMS, encoder)
    return tmp_path / "model"


def run(*argv, module="picogpt", stdin=b"", **environment):
    """Run a command in a process of its own; return its exit code, stdout and stderr, in at most 30 s."""
    done = run_python("-m", module, *argv, stdin=stdin, timeout=30, **environment)
    assert "Traceback" not in done.err and "Warning" not in done.err
    return done


# Weights


def test_the_first_3_mib_of_openais_data_are_reported_as_cut_short(tmp_path):
    for name in ("checkpoint", "hparams.json", "model.ckpt.index"):
        shutil.copy(OPENAI / name, tmp_path)
    with open(tmp_path / "model.ckpt.data-00000-of-00001", "wb") as file:
        file.write((OPENAI / "h0-attn-c_attn-b.bin").read_bytes())  # the one array that fits into 3 MiB
        file.truncate(3 << 20)
    said = (
        r"00001 is cut short, 3,145,728 bytes of 7,087,104 for model/h0/attn/c_attn/w: delete it and .*again"
    )
    with pytest.raises(ValueError, match=said):
        weights.load(tmp_path)


@pytest.mark.parametrize("size", SIZES)
def test_another_number_of_heads_than_a_released_model_has_is_refused(tmp_path, size):
    hparams = SIZES[size] | {"n_head": SIZES[size]["n_head"] // (5 if size != "124M" else 3)}
    hparams |= {"n_head": 16} if size == "124M" else {}
    hparams |= {"n_head": 32} if size == "355M" else {}
    (tmp_path / "hparams.json").write_text(json.dumps(hparams))
    with pytest.raises(ValueError, match=rf"n_head is {hparams['n_head']}, but {size}, of these sizes, has"):
        weights.read_hparams(tmp_path)


def test_another_number_of_heads_than_the_weights_were_saved_with_is_refused(folder):
    (folder / "hparams.json").write_text(json.dumps(HPARAMS | {"n_head": 4}))
    with pytest.raises(ValueError, match=r"has weights of n_head 3, but hparams\.json has 4: correct it"):
        weights.load(folder)


@pytest.mark.parametrize("flags", [[], ["--seed=1"], ["--n_samples=2", "--seed=1"], ["--no_cache"]])
def test_weights_whose_logits_overflow_are_an_error_and_no_row_of_exclamation_marks(folder, flags):
    params = init_params(HPARAMS, np.random.default_rng(0))
    params["wte"][:] = 3e38
    weights.save(folder, params, HPARAMS)
    code, out, said = run("Once", "--n=5", "--model", folder, *flags)
    assert (code, out.strip()) == (1, "")
    assert said.endswith("picogpt: the model gives NaN or infinity: its weights are damaged, or too large\n")


class Pwned:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(folder, tmp_path):
    trap = pickle.dumps(Pwned(tmp_path / "pwned"))
    np.savez(tmp_path / "a.npz", wte=np.array([Pwned(tmp_path / "pwned")], object))
    (tmp_path / "a.npz.bin").write_bytes(trap)
    for name in ("a.npz", "a.npz.bin"):
        with pytest.raises(ValueError, match="is a file, and a model is a folder"):
            weights.load(tmp_path / name)
    for name in ("model.safetensors", "hparams.json", "vocab.bpe"):
        good = (folder / name).read_bytes()
        for content in (trap, (tmp_path / "a.npz").read_bytes(), len(trap).to_bytes(8, "little") + trap):
            (folder / name).write_bytes(content)
            with pytest.raises(ValueError, match=name):
                weights.load(folder)
        (folder / name).write_bytes(good)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the named pipes of Unix")
@pytest.mark.parametrize("name", ["", "hparams.json", "model.safetensors", "vocab.bpe", "chars.json"])
@pytest.mark.parametrize("kind", ["fifo", "/dev/zero"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_not_waited_for(folder, name, kind):
    if not name:
        shutil.rmtree(folder)
    path = folder / name if name else folder
    path.unlink(missing_ok=True)
    os.mkfifo(path) if kind == "fifo" else path.symlink_to(kind)
    code, _, said = run("Once", "--n=1", "--model", folder)
    assert code == (0 if name == "chars.json" else 1), said
    assert said.count("\n") == (name != "chars.json")


@pytest.mark.parametrize(
    "name", ["../../etc", "../" * 30 + "etc", "/dev/zero", "/dev/null", "CON", "x" * 5000]
)
def test_a_path_or_a_device_as_a_model_is_one_line(name, tally):
    code, out, said = run("Once", "--model", name)
    assert (code, out, said.count("\n")) == (1, "", 1)
    assert len(said) < 1100
    tally("names of models that are none", "refused with code 1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the named pipes of Unix")
def test_a_pipe_in_a_folder_of_hugging_faces_is_not_waited_for(tmp_path):
    shutil.copy(TESTS / "references" / "hf_gpt2" / "config.json", tmp_path)
    os.mkfifo(tmp_path / "model.safetensors")
    code, _, said = run("Once", "--n=1", "--model", tmp_path)
    assert (code, "model.safetensors is missing: download it again\n" in said) == (1, True)


def test_a_checkpoint_file_that_is_no_text_names_nothing(tmp_path):
    (tmp_path / "checkpoint").write_bytes(b"\xff\xfe\0")
    assert bundle.find_prefix(tmp_path) == tmp_path / "model.ckpt"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/etc/../passwd"')
    assert bundle.find_prefix(tmp_path) == tmp_path / "passwd"


# Prompts


@pytest.mark.parametrize(
    "prompt", ["", "     ", "\ufeffBOM", "one\r\ntwo\r\n", "a\0b", "👩‍👩‍👧‍👦 🏳️‍🌈", "e\u0301\u202e"]
)
def test_any_text_is_a_prompt_also_where_the_terminal_speaks_ascii(folder, prompt):
    code, _, said = run(
        *("-", "--n=3", "--truncate", "--model", folder),
        stdin=prompt.encode(),
        LC_ALL="C",
        PYTHONIOENCODING="ascii",
    )
    assert code == 0
    assert said in ("", "picogpt: the context of 32 tokens is full: going on from its newest half\n")


def test_invalid_utf_8_is_one_line(folder, tally):
    for argv, stdin in ((["a\udcff"], b""), (["-"], b"a\xff"), (["-"], b"\xc3"), (["-"], b"\xed\xa0\x80")):
        code, out, said = run(*argv, "--model", folder, stdin=stdin)
        assert (code, out, said.count("\n")) == (1, "", 1)
        assert "is not UTF-8 text: " in said
        tally("prompts that are not UTF-8", "refused with code 1")


def test_a_megabyte_without_a_space_is_refused_or_cut(folder):
    code, out, said = run("-", "--model", folder, stdin=b"x9" * 500_000)
    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"picogpt: the prompt has \d+ tokens and this .* 32: --truncate keeps the newest\n", said
    )
    assert run("-", "--model", folder, "--n=1", "--truncate", stdin=b"x9" * 500_000)[0] == 0


@pytest.mark.parametrize("n_prompt", [24, 32])
@pytest.mark.parametrize("more", [0, 1])
def test_a_prompt_may_fill_the_context_and_one_token_more_slides(folder, n_prompt, more, caplog):
    params, hparams, _ = weights.load(folder)
    n_new = 32 - n_prompt + 1 + more  # the last token chosen need not be read any more
    [ids] = generate(params, hparams["n_head"], [[5] * n_prompt], n_new)
    assert len(ids) == n_new
    assert ("is full" in caplog.text) == bool(more)


# Ctrl-C, in a process of its own, at a chosen place


@pytest.mark.parametrize("place", ["weights.read_hparams", "safetensors.read_mapped", "weights.read_encoder"])
def test_ctrl_c_while_a_model_is_loaded_gives_130_and_one_line(folder, place):
    code = f"""
import os, signal
from picogpt.checkpoints import safetensors, weights
from picogpt.__main__ import main
{place} = lambda *_: os.kill(os.getpid(), signal.SIGINT)
main()
"""
    done = run_python("-c", code, "Once", "--model", folder, timeout=30)
    assert done == (128 + signal.SIGINT, "", "picogpt: interrupted\n")


def test_ctrl_c_amid_a_save_leaves_nothing_half_written(tmp_path):
    (tmp_path / "text").write_text("To be or not to be. " * 100)
    code = """
import os, signal
from picogpt.system import command, files
from picogpt.train import cli as train
files.move_into_place = lambda *_: os.kill(os.getpid(), signal.SIGINT)
command.run(train.train)
"""
    words = ["text", "--out=out", "--n_layer=1", "--n_embd=8", "--n_ctx=8"]
    done = run_python("-c", code, *words, folder=tmp_path, timeout=30)
    assert (done.code, "Traceback" in done.err) == (130, False)
    assert list((tmp_path / "out").iterdir()) == []


# Training

SMALL = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=2, steps=2, eval_every=2, eval_batches=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"text is empty: give a text to train on"),
        (b"\xef\xbb\xbf", r"text is empty: give a text to train on"),
        (b"To be.", r"the training text has 5 tokens, and a window takes 9: give a longer file"),
        ("Märchen".encode("latin-1"), r"text is not UTF-8 text: byte 1 is 0xe4; convert it"),
    ],
)
def test_a_text_that_cannot_be_learned_from_is_one_line(tmp_path, content, said):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        train.train(Settings(str(tmp_path / "text"), out=str(tmp_path / "out"), **SMALL))
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_a_text_beyond_the_vocabulary_of_the_model_is_refused(tmp_path):
    hparams = HPARAMS | {"n_vocab": 4}
    params = init_params(hparams, np.random.default_rng(0))
    weights.save(tmp_path / "model", params, hparams, CharEncoder("abc "))
    (tmp_path / "text").write_text("a b c d " * 100)
    with pytest.raises(ValueError, match="the model does not know 'd', only the characters 'abc '"):
        train.train(Settings(str(tmp_path / "text"), out=str(tmp_path / "out"), init=str(tmp_path / "model")))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def trained(tmp_path):
    """A training that has ended, as the arguments that made it."""
    (tmp_path / "text").write_text("To be or not to be. " * 100)
    given = dict(file=str(tmp_path / "text"), out=str(tmp_path / "out"), **SMALL)
    train.train(Settings(**given))
    return given


@pytest.mark.parametrize(
    "change", [dict(n_layer=2), dict(n_embd=16), dict(n_head=1), dict(n_ctx=4), dict(lr=0.1), dict(steps=3)]
)
def test_a_training_resumed_with_another_setting_names_it(trained, change):
    [(name, _)] = change.items()
    before = SMALL.get(name, 0.002)
    with pytest.raises(ValueError, match=rf"was trained with --{name} {before}: resume with that") as error:
        train.train(Settings(**trained | change, resume=True))
    further = f"or use another --out, where --init {trained['out']} goes on from its model"
    assert str(error.value).endswith(further if name == "steps" else "or use another --out")


def test_a_training_resumed_from_another_folder_asks_for_its_text(tmp_path, monkeypatch, call_command):
    (tmp_path / "text").write_text("To be or not to be. " * 100)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    train.train(Settings("text", out="out", **SMALL))
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume = functools.partial(call_command, train.train, "--resume", "--out=../out", config=train.flags_file)
    done = resume()
    assert (done.code, done.out) == (1, "")
    said = "picogpt: there is no text file text here: give FILE anew, beside --resume"
    assert done.err.splitlines()[-1] == said
    assert resume("../text").code == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, rest: tensors.pop("m.wte"),
        lambda tensors, rest: tensors.update({"params.wte": tensors["params.wte"].T}),
        lambda tensors, rest: tensors.update({"m": tensors["m.wte"]}),
        lambda tensors, rest: tensors.update({"params.wte": tensors["params.wte"].astype("f8")}),
        lambda tensors, rest: tensors.update({"v." + "a." * 2000: np.zeros(1, np.float32)}),
        lambda tensors, rest: rest.update(step="2"),
        lambda tensors, rest: rest.update(best=None),
        lambda tensors, rest: rest.update(rng={}),
    ],
)
def test_a_state_that_has_been_tampered_with_is_named(trained, damage):
    path = Path(trained["out"], "state.safetensors")
    tensors, metadata = safetensors.read(path)
    rest = json.loads(metadata["state"])
    damage(tensors, rest)
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    safetensors.write(path, tensors, {"state": json.dumps(rest)})
    with pytest.raises(ValueError, match=r"state\.safetensors is damaged, or no state of a training"):
        train.train(Settings(**trained, resume=True))
