"""What a fine-tuning changes, and that it changes nothing else."""

import hashlib

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.finetune import classify, lora, tuning
from picogpt.finetune import cli as finetune
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.train import trainer
from picogpt.train.settings import Recipe

HPARAMS = dict(n_vocab=17, n_ctx=11, n_embd=12, n_head=3, n_layer=2)
WAYS = {
    "whole": {},
    "a block": dict(train="blocks.1.*,ln_f.*"),
    "head": dict(train="wte"),
    "LoRA": dict(rank=2),
    "LoRA and norms": dict(rank=2, train="*.ln_?.*", lora_on="*.c_attn.w"),
    "LoRA on the embedding": dict(rank=2, lora_on="wte"),
    "adapters": dict(n_adapter=5),
}


def tune(tiny, way, steps=3):
    """Make some steps; return {path: bytes} of the model before, the model, its hparams,
    what was trained, the state of the training, and its losses.
    """
    before = {path: w.tobytes() for path, w in walk(tiny.params)}
    rng = np.random.default_rng(0)
    params, hparams, trained = tuning.begin(tiny.params, HPARAMS, rng, **WAYS[way])
    of_trained = tuning.gradients_of(params, trainer.language_model(3))
    c = Recipe(steps=steps, lr=1e-2, warmup=0, dropout=0.1)
    state = trainer.begin(trained, 0)
    batch = tiny.ids, tiny.targets
    losses = [record["loss"] for record in trainer.updates(state, c, lambda rng: batch, of_trained)]
    return before, params, hparams, trained, state, losses


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_trained_stays_as_it_is_to_the_bit(way, tiny32):
    before, params, _, trained, _, _ = tune(tiny32, way)
    frozen = before.keys() - {path for path, leaf in trained.items() if not isinstance(leaf, dict)}
    after = {path: w.tobytes() for path, w in walk(params)}
    assert all(after[path] == before[path] for path in frozen)
    assert all(after[path] != before[path] for path in before.keys() - frozen)
    assert bool(frozen) == (way != "whole")


@pytest.mark.parametrize("way", WAYS)
def test_each_way_lowers_the_loss(way, tiny32):
    *_, losses = tune(tiny32, way, steps=40)
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("way", WAYS)
def test_the_memory_that_is_told_is_that_of_the_moments(way, tiny32, caplog):
    caplog.set_level("INFO", "picogpt")
    _, params, _, trained, state, _ = tune(tiny32, way, steps=1)
    told = tuning.trained_share(params, trained)
    assert told["bytes of optimiser state"] == sum(m.nbytes for _, m in walk(state["moments"]))
    assert told["trained parameters"] == sum(w.size for _, w in walk(trained))
    n_new = sum(leaf.size for _, leaf in walk(tuning.low_rank_of(trained)))
    assert told["parameters"] == sum(w.size for _, w in walk(params)) + n_new
    share = 100 * told["trained parameters"] / told["parameters"]
    n_trained, n_all = told["trained parameters"], told["parameters"]
    assert f"training {n_trained:,} of {n_all:,} parameters ({share:.2f} %)" in caplog.text
    assert f"takes {told['bytes of optimiser state'] / 1e6:.2f} MB" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_the_model_that_is_saved_is_the_one_that_was_trained(way, tiny32, tmp_path):
    before, params, hparams, trained, _, _ = tune(tiny32, way)
    ids, targets = tiny32.ids, tiny32.targets
    with tuning.in_use(params, trained):
        expected = {path: w.tobytes() for path, w in walk(params)}
    tuning.save(tmp_path, params | dict(head=dict(w=np.ones(3))), hparams, None, trained, "tales")
    again, _, _ = weights.load(tmp_path)
    assert {path: w.tobytes() for path, w in walk(again)} == expected
    assert (tmp_path / "lora.safetensors").exists() == ("LoRA" in way)
    assert (tmp_path / "peft").exists() == (way == "LoRA")  # which can say no more than the updates
    if way == "LoRA":
        base = tree_map(np.copy, params)
        for path, w in walk(base):
            w[...] = np.frombuffer(before[path], w.dtype).reshape(w.shape)
        lora.merge(base, lora.load(tmp_path / "lora.safetensors"))
        assert {path: w.tobytes() for path, w in walk(base)} == expected
    assert np.isfinite(trainer.language_model(3)(again, (ids, targets), 0.0, None)[0])


def test_training_all_that_is_named_is_training_the_model(tiny32):
    """The same steps, without anything of tuning.py."""
    params = tree_map(np.copy, tiny32.params)
    state, c = trainer.begin(params, 0), Recipe(steps=3, lr=1e-2, warmup=0, dropout=0.1)
    list(trainer.updates(state, c, lambda rng: (tiny32.ids, tiny32.targets), trainer.language_model(3)))
    _, tuned, *_ = tune(tiny32, "whole")
    assert {path: w.tobytes() for path, w in walk(params)} == {path: w.tobytes() for path, w in walk(tuned)}


def test_every_weight_counts_for_the_fingerprint(tiny32):
    prints = {tuning.fingerprint(tiny32.params)}
    for path, _ in walk(tiny32.params):
        other = tree_map(np.copy, tiny32.params)
        flatten(other)[path].flat[-1] += 1
        prints.add(tuning.fingerprint(other))
    assert len(prints) == 1 + len(flatten(tiny32.params))
    bytes_of_all = b"".join(w.tobytes() for _, w in walk(tiny32.params))
    assert tuning.fingerprint(tiny32.params) == hashlib.sha256(bytes_of_all).hexdigest()


def test_names_choose_arrays(tiny):
    assert set(tuning.choose(tiny.params, "ln_f.*,*.0.ln_1.g")) == {"ln_f.g", "ln_f.b", "blocks.0.ln_1.g"}
    assert tuning.choose(tiny.params, "wte")["wte"] is tiny.params["wte"]
    assert len(tuning.choose(tiny.params, "*")) == len(list(walk(tiny.params)))


def test_an_array_without_numbers_is_not_trained():
    """A model without learned positions has such a one in their place."""
    params = dict(wte=np.ones((3, 2)), wpe=np.ones((4, 0)))
    assert list(tuning.choose(params, "*")) == ["wte"]


@pytest.mark.parametrize("train", ["blocks.2.*", "wte,head", "WTE"])
def test_a_name_of_nothing_is_an_error(train, tiny):
    with pytest.raises(ValueError, match="names no array"):
        tuning.begin(tiny.params, HPARAMS, np.random.default_rng(0), train)


FLAGS = dict(lora=0, adapters=0, lr=None, min_lr=None, warmup=7, dropout=0.25, schedule="cosine")


@pytest.mark.parametrize(
    ("given", "lr"),
    [
        ({}, 5e-4),
        (dict(lora=1), 1e-2),
        (dict(adapters=1), 5e-3),
        (dict(lora=1, adapters=1), 5e-3),
        (dict(lora=1, lr=0.3), 0.3),
        (dict(lr=0.0), 0.0),
    ],
    ids=str,
)
def test_the_recipe_of_each_way(given, lr):
    c = tuning.recipe(FLAGS | given, 20)
    assert (c.lr, c.lowest_lr) == (lr, pytest.approx(lr / 10))
    assert (c.steps, c.warmup, c.dropout, c.schedule) == (20, 7, 0.25, "cosine")
    gpt1s = tuning.recipe(FLAGS | given | dict(schedule="linear", min_lr=0.0), 20)
    assert (gpt1s.lr, gpt1s.lowest_lr, gpt1s.schedule) == (lr, 0, "linear")


@pytest.mark.parametrize("command", [finetune.finetune, classify.classify])
def test_a_rate_does_not_end_above_where_it_begins(command, call_command, tmp_path):
    done = call_command(command, "--lr=0.001", "--min_lr=0.01", "--out", tmp_path / "out")
    assert done == (2, "", "picogpt: --min_lr 0.01 is more than --lr 0.001 (--help shows all flags)\n")
    assert not (tmp_path / "out").exists()


def test_a_classifiers_head_is_always_trained(tiny):
    params = tiny.params | dict(head=dict(w=np.ones((12, 2)), b=np.ones(2)))
    for way in (dict(train="ln_f.g"), dict(rank=2), dict(n_adapter=5)):
        *_, trained = tuning.begin(params, HPARAMS, np.random.default_rng(0), **way)
        assert {"head.w", "head.b"} < trained.keys()
    *_, trained = tuning.begin(params, HPARAMS, np.random.default_rng(0), "")
    assert trained.keys() == {"head.w", "head.b"}


@pytest.mark.parametrize("command", [finetune.finetune, classify.classify])
def test_lora_on_needs_lora(command, call_command, tmp_path):
    done = call_command(command, "--lora_on", "*.c_attn.w", "--out", tmp_path / "out")
    assert done == (2, "", "picogpt: --lora_on has no effect without --lora (--help shows all flags)\n")
    assert not (tmp_path / "out").exists()


def test_nothing_to_train_is_an_error(tiny):
    with pytest.raises(ValueError, match="nothing is to be trained"):
        tuning.begin(tiny.params, HPARAMS, np.random.default_rng(0), "")
