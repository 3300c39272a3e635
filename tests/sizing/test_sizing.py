"""What a model costs, by published counts and by what picogpt itself allocates."""

from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from picogpt.gpt2 import KVCache, gpt2
from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.options import OPTIONS
from picogpt.params.shapes import SIZES, n_params
from picogpt.params.tree import flatten, nest, walk
from picogpt.sizing import cli as sizing
from picogpt.sizing.presets import PRESETS
from picogpt.system import command
from picogpt.train.optim import adamw_init

REPOSITORY = Path(__file__).parents[2]
NANOGPT = SIZES["124M"] | dict(bias=False)
TINY = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)


@pytest.fixture
def run(call_command, monkeypatch):
    """Run the command in this process, where models/ lies."""
    monkeypatch.chdir(REPOSITORY)
    return lambda *argv: call_command(sizing.sizing, *argv)


def test_nanogpts_figures_are_reproduced():
    """Those of its transformer_sizing.ipynb."""
    parts, flops = sizing.count(NANOGPT), sizing.count_flops(NANOGPT)
    assert parts["all"] == 124_337_664
    assert parts["token embedding"] == 38_597_376
    assert parts["position embedding"] == 786_432
    assert parts["blocks"] == 84_953_088
    assert flops["attention's projection"] == 12 * 1_207_959_552
    assert flops["output head"] == 79_047_426_048
    assert flops["forward"] == 291_648_307_200
    assert flops["forward and backward"] == 874_944_921_600
    assert flops["the same, by PaLM's estimate"] == 875_062_886_400
    memory = sizing.bytes_needed(NANOGPT)
    assert round((memory["weights"] + memory["AdamW's moments"]) / 1e9, 2) == 1.49
    said = "\n".join(sizing.report(NANOGPT, flops=8 * 312e12, mfu=0.3, tokens=300e9))
    assert " 3.459 " in said  # days; 3.46 there


def test_nanogpts_chinchilla_is_reproduced():
    assert f"{sizing.best_tokens(124e6):.3g}" == "2.29e+09"
    assert sizing.loss(1e9, 1e30) == pytest.approx(1.69 + 406.4 / 1e9**0.34)
    assert sizing.loss(1e30, 1e9) == pytest.approx(1.69 + 410.7 / 1e9**0.28, abs=1e-6)


@pytest.mark.parametrize("option", [{}, dict(adapter=5)], ids=str)
def test_flops_are_those_of_the_matrix_products(option):
    """Two for each product, counted where NumPy makes them."""

    class Counting(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **settings):
            arrays = [x.view(np.ndarray) if isinstance(x, Counting) else x for x in inputs]
            if "out" in settings:
                settings["out"] = tuple(x.view(np.ndarray) for x in settings["out"])
            made = getattr(ufunc, method)(*arrays, **settings)
            if ufunc is np.matmul:
                counted.append(2 * made.size * arrays[0].shape[-1])
            return made.view(Counting) if isinstance(made, np.ndarray) else made

    counted, hparams = [], TINY | option
    params = flatten(init_params(hparams, np.random.default_rng(0)))
    products = {path: w.view(Counting) for path, w in params.items() if path.endswith((".w", "wte"))}
    gpt2([[1] * 11], nest(params | products), 3)
    assert sum(counted) == sizing.count_flops(hparams)["forward"]


@pytest.mark.parametrize(
    "option",
    [{}, dict(time_mixing=True), dict(tied=False, bias=False), dict(adapter=5), dict(rezero=True)],
    ids=str,
)
def test_memory_is_what_is_allocated(option):
    hparams = TINY | option
    params, acts = init_params(hparams, np.random.default_rng(0)), []
    ids = np.ones((5, 11), int)
    logits = gpt2(ids, params, 3, acts=acts)
    memory = sizing.bytes_needed(hparams, batch_size=5)
    size = {path: w.nbytes for path, w in walk(params)}
    assert memory["weights"] == memory["gradients"] == sum(size.values())
    assert sum(g.nbytes for _, g in walk(loss_and_grads(params, ids, ids, 3)[1])) == memory["gradients"]
    assert sum(w.nbytes for _, w in walk(adamw_init(params))) == memory["AdamW's moments"]
    assert 2 * logits.nbytes == memory["logits, their derivative"]
    owners = {}
    for act in acts:
        for path, array in walk(act):
            while array is not None and array.base is not None:
                array = array.base
            if array is not None and path != "mask":
                owners[id(array)] = array.nbytes
    assert sum(owners.values()) == memory["activations"]
    cache = KVCache(params, 3, batch=5)
    gpt2(ids, params, 3, cache=cache)
    more = sum(array.nbytes for array in cache.more.values())
    assert cache.kv.nbytes + more == memory["key-value cache"]


def test_minGPT_tuneds_counts_are_reproduced():
    hparams = dict(n_vocab=65, n_ctx=128, n_embd=512, n_head=8, n_layer=3, tied=False)
    assert n_params(hparams) == 9_590_272
    assert n_params(hparams | dict(time_weighting="full", time_mixing=True)) == 9_983_488


def test_the_command_prints_a_model_by_name_folder_or_flags(run):
    code, by_name, _ = run("gpt2", "--bias=false")
    assert (code, "291,648,307,200" in by_name) == (0, True)
    flags = [f"--{key}={value}" for key, value in NANOGPT.items()]
    assert run(*flags)[1] == by_name
    code, said, _ = run("models/tales")
    assert (code, "4,027,904" in said) == (0, True)
    assert "123,551,232" in by_name  # without positions, as nanoGPT counts
    code, adapted, _ = run("gpt2", "--adapter=64", "--gelu=erf")
    assert (code, "126,819,072" in adapted) == (0, True)  # 12 blocks, 2 of 64 * 768 * 2 + 64 + 768 in each


def test_all_that_shapes_a_model_is_a_flag():
    assert {*SIZES["124M"], *OPTIONS} <= command.parameters(sizing.sizing).keys()


def test_the_command_lists_all_names():
    code, said, _ = run_python("-m", "picogpt.sizing")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()[1:]] == list(PRESETS)


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["gpt-nano"], 2, "gpt-nano needs --n_vocab, --n_ctx too"),
        (["--n_layer=2"], 2, "a model needs --n_vocab, --n_ctx, --n_embd, --n_head too"),
        (["nothing"], 1, "'nothing' is neither a folder nor a model's name; the names are openai-gpt, gpt2,"),
        (["117M"], 1, "OpenAI's 117M is now called 124M: ask for that"),
        (["gpt2", "--n_head=7"], 1, "n_embd 768 does not split into n_head 7 equal heads"),
        (["gpt2", f"--n_vocab={10**400}"], 2, "--n_vocab must be at least 1 and less than 2**31, not 1000"),
        (["gpt2", "--flops=5e-324", "--mfu=1e-9"], 1, "a number is too large or too small"),
        (["gpt2", "--mfu=0"], 2, "--mfu must be more than 0"),
        (["gpt2", "--tokens=0"], 2, "--tokens must be more than 0"),
        (
            ["gpt2", "--time_weighting=half"],
            2,
            "--time_weighting must be none or full or circulant, not half",
        ),
    ],
)
def test_what_cannot_be_sized_is_said(flags, code, says, run):
    got, out, err = run(*flags)
    assert (got, out) == (code, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_head_of_its_own_other_inner_channels_and_what_generating_takes_are_counted():
    untied = sizing.count(TINY | dict(tied=False))
    assert untied["output head of its own"] == 17 * 12
    assert untied["all"] == sizing.count(TINY)["all"] + 17 * 12
    feed_forward = [sizing.count_flops(TINY | dict(n_inner=n))["feed-forward"] for n in (0, 20)]
    assert feed_forward == [2 * 11 * (2 * 12 * n + 2 * n * 12) for n in (48, 20)]
    memory = sizing.bytes_needed(TINY, batch_size=3)
    assert memory["key-value cache"] == 4 * 3 * 11 * 2 * 2 * 12
    assert memory["generating"] == memory["weights"] + memory["key-value cache"]
