"""text8 and enwik8: files of their form are split, encoded and measured as the benchmarks have it."""

import json
import math

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.projects import benchmarks, chars

TINY = dict(n_layer=1, n_head=2, n_embd=8, n_ctx=8, batch_size=20, epochs=1, lr=0.01)


@pytest.fixture
def text8(tmp_path):
    """A file of text8's form: a to z and single spaces; its characters are not equally frequent."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice([*"abcdefghijklmnopqrstuvwxyz"], rng.integers(1, 9))) for _ in range(300)]
    path = tmp_path / "text8"
    path.write_text(" " + " ".join(rng.choice(words, 1500))[:3999], encoding="utf-8")
    return path


@pytest.fixture
def enwik8(tmp_path):
    """A file of enwik8's form: UTF-8 and its markup, cut at a byte, which may be within a character."""
    path = tmp_path / "enwik8"
    path.write_bytes(("<page>\r\n  <title>Zürich</title> &quot;日本&quot;\n" * 80).encode()[:3001])
    return path


@pytest.mark.parametrize(("n", "sizes"), [(100_000_000, [90, 5, 5]), (2000, [0.0018, 0.0001, 0.0001])])
def test_a_file_of_100_million_is_split_as_published(n, sizes):
    """Mikolov et al. 2012: the first 90 million, the next 5 and the last 5."""
    parts = benchmarks.split(range(n))
    assert [len(part) for part in parts] == [round(1e6 * size) for size in sizes]
    assert [i for part in (parts if n < 10_000 else []) for i in part] == [*range(n if n < 10_000 else 0)]


def test_the_ids_are_the_tokenizers_one_for_each_byte(text8, enwik8):
    for name, path in (("text8", text8), ("enwik8", enwik8)):
        encoder, content = benchmarks.tokenizer(name), path.read_bytes()
        ids = benchmarks.encode(content, encoder, path)
        whole = content.decode(errors="ignore")
        assert len(ids) == len(content)
        assert ids.tolist()[: len(whole.encode())] == encoder.encode(whole)
    assert (benchmarks.tokenizer("text8").n_vocab, benchmarks.tokenizer("enwik8").n_vocab) == (27, 257)
    assert sorted(benchmarks.encode(bytes(range(256)), encoder, "all").tolist()) == [*range(256)]


def test_bits_per_character_are_the_mean_over_all_of_the_test_each_with_half_a_context_or_more():
    hparams = dict(n_vocab=27, n_ctx=8, n_embd=12, n_head=3, n_layer=2)
    params = init_params(hparams, np.random.default_rng(0))
    params["wte"] *= 50  # so that it is sure of something
    test, start = np.random.default_rng(1).integers(27, size=30), 0
    ids, bits = [start, *test], []
    for t in range(1, 31):  # alone: windows that end at 8, 12, 16 ... have their last 4 scored, the first 8
        end = 9 if t < 9 else 9 + math.ceil((t - 8) / 4) * 4
        begin = max(0, min(end, 31) - 9)
        bits.append(-np.log2(softmax(gpt2(np.array([ids[begin:t]]), params, 3)[0, -1])[ids[t]]))
    assert np.std(bits) > 0.5
    found = benchmarks.bits_per_character(params, 3, test, start)
    assert found == pytest.approx(np.mean(bits), rel=1e-5)
    compared = benchmarks.compare(params, hparams, np.array([0, 0, 1]), np.array([0, 1, 2]), start)
    assert compared["by the frequency of each"] == pytest.approx(-np.log2([3 / 30, 2 / 30, 1 / 30]).mean())


@pytest.mark.parametrize("recipe", benchmarks.NAMES)
def test_a_recipe_learns_from_a_file_where_it_lies_and_reports_bits(recipe, request, tmp_path):
    path, out = request.getfixturevalue(recipe), tmp_path / "run"
    chars.chars(str(path), recipe=recipe, out=str(out), **TINY)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    bits = result["results"][benchmarks.BITS]
    assert bits["this model"] < math.log2({"text8": 27, "enwik8": 257}[recipe])
    assert [*result["results"][chars.HELD_OUT]] == ["250"]
    assert result["published"][benchmarks.BITS]["Transformer-XL, 277M"] in (1.08, 0.99)
    params, hparams, encoder = weights.load(out)
    test = benchmarks.encode(path.read_bytes(), encoder, path)[-200:]
    if recipe == "text8":  # 4000 characters, of which the last twentieth is 200
        again = benchmarks.bits_per_character(params, hparams["n_head"], test, encoder.start)
        assert bits["this model"] == pytest.approx(again, rel=1e-6)


def test_what_is_not_text8_is_refused_before_the_training(text8, tmp_path):
    text8.write_text("only small letters, and spaces")
    with pytest.raises(
        ValueError, match="has ',' at place 18, and text8 only a to z and spaces: --recipe enwik8"
    ):
        chars.chars(str(text8), recipe="text8", out=str(tmp_path / "run"), **TINY)
    assert not (tmp_path / "run").exists()
