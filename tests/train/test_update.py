"""One update, with the numbers of its recipe looked at one by one."""

import numpy as np
import pytest

from picogpt.text import data
from picogpt.train import journal, optim, schedule, trainer
from picogpt.train.settings import Recipe, Settings


def mean_square(params, batch, p_drop, rng):
    """Return the loss, half the square of w - x in the mean over rows x, and its gradient."""
    difference = params["w"] - batch
    return (difference**2).sum(axis=-1).mean() / 2, dict(w=difference.mean(axis=0))


def updated(c, batches, tokens=0, step=0, gradients=mean_square):
    """Return the record and the state after an update that draws these batches."""
    state = trainer.begin(dict(w=np.ones(3)), 1) | dict(tokens=tokens, step=step)
    left = iter(batches)
    record = trainer.update(state, c, lambda rng: next(left), gradients)
    assert next(left, None) is None
    return record, state


def test_an_update_of_a_growing_batch_is_that_of_all_its_rows():
    batches = np.random.default_rng(0).standard_normal((2, 4, 3))
    whole = Recipe(steps=9, clip=0.1, warmup=0, batch_tokens=20)
    grows = Recipe(steps=9, clip=0.1, warmup=0, batch_tokens=10, accumulate=3, ramp_tokens=100)
    expected, at_once = updated(whole, [batches.reshape(8, 3)], tokens=50)
    record, state = updated(grows, batches, tokens=50)
    assert expected["norm"] > 0.1  # so it is cut
    for key in ("loss", "norm", "tokens", "lr"):
        assert record[key] == pytest.approx(expected[key], rel=1e-12), key
    for of in ("m", "v"):
        np.testing.assert_allclose(state["moments"][of]["w"], at_once["moments"][of]["w"], rtol=1e-12)


def test_every_number_of_the_recipe_is_where_it_belongs():
    """The first update by hand: m = (1 - b1) g, v = (1 - b2) g^2, w = w - lr * (sign(g) + decay * w)."""
    c = Recipe(steps=9, warmup=4, lr=0.5, beta1=0.6, beta2=0.7, weight_decay=0.3, clip=0.25)
    seen = []

    def gradients(params, batch, p_drop, rng):
        seen.append((p_drop, rng))
        return 7.5, dict(w=np.array([[3.0, -4.0]]))

    c.dropout, c.dropout_attn = 0.1, 0.2
    state = trainer.begin(dict(w=np.ones((1, 2))), 1)
    record = trainer.update(state, c, lambda rng: None, gradients)
    assert seen == [([0.1, 0.2, 0.1], state["rng"])]
    assert (record["loss"], record["norm"], record["step"]) == (7.5, 5.0, 1)
    assert record["lr"] == pytest.approx(0.5 / 5)  # a fifth of it, in the first of four steps of warm-up
    clipped = np.array([[3.0, -4.0]]) * 0.25 / 5
    np.testing.assert_allclose(state["moments"]["m"]["w"], 0.4 * clipped, rtol=1e-12)
    np.testing.assert_allclose(state["moments"]["v"]["w"], 0.3 * clipped**2, rtol=1e-12)
    moved = 1 - 0.1 * (np.array([[1, -1]]) + 0.3)
    np.testing.assert_allclose(state["params"]["w"], moved, rtol=1e-5)


@pytest.mark.parametrize(("decay", "left"), [("matrices", 0.95), ("linear", 1.0)])
def test_which_arrays_decay_is_the_recipes(decay, left):
    state = trainer.begin(dict(wte=np.ones((2, 2))), 1)
    c = Recipe(steps=1, warmup=0, lr=0.1, weight_decay=0.5, decay=decay)
    trainer.update(state, c, lambda rng: None, lambda params, *_: (0.0, dict(wte=np.zeros((2, 2)))))
    np.testing.assert_allclose(state["params"]["wte"], left, rtol=1e-12)


def test_a_head_of_its_own_decays_by_both_rules_and_gains_and_biases_by_none():
    for decay in optim.DECAYS:
        params = dict(
            lm_head=np.ones((3, 2)), mlp=dict(w=np.ones((2, 2)), b=np.ones(2)), ln_f=dict(g=np.ones(2))
        )
        zeros = dict(
            lm_head=np.zeros((3, 2)), mlp=dict(w=np.zeros((2, 2)), b=np.zeros(2)), ln_f=dict(g=np.zeros(2))
        )
        optim.adamw_step(params, zeros, optim.adamw_init(zeros), 1, 0.1, weight_decay=0.5, decay=decay)
        found = [params["lm_head"], params["mlp"]["w"], params["mlp"]["b"], params["ln_f"]["g"]]
        assert [round(float(w.min()), 9) for w in found] == [0.95, 0.95, 1, 1], decay


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_none_changes_nothing(bad):
    params = dict(w=np.ones(3))
    state = trainer.begin(params, 1) | dict(step=4)
    with pytest.raises(ValueError, match=f"the gradient at step 4 is {bad}: try a smaller --lr"):
        trainer.update(state, Recipe(steps=9), lambda rng: None, lambda *_: (1.0, dict(w=np.full(3, bad))))
    assert (state["step"], params["w"].tolist()) == (4, [1, 1, 1])


def test_updates_end_with_the_last_step():
    state = trainer.begin(dict(w=np.ones(3)), 1)
    c = Recipe(steps=3, warmup=0)
    records = [*trainer.updates(state, c, lambda rng: np.zeros((1, 3)), mean_square)]
    assert [record["step"] for record in records] == [1, 2, 3]
    assert [*trainer.updates(state, c, pytest.fail, mean_square)] == []


# When something is done


def test_an_evaluation_is_due_every_so_many_steps_and_at_the_end():
    c = Recipe(steps=7)
    c.eval_every = 3
    assert [step for step in range(8) if trainer.is_due(step, c)] == [0, 3, 6, 7]


def test_evaluations_see_other_windows_than_the_training_and_always_the_same(monkeypatch):
    seen, ids = [], np.arange(10_000)
    monkeypatch.setattr(trainer, "batch_loss", lambda params, x, y, n_head: seen.append(x) or len(seen))
    c = Recipe()
    c.seed, c.eval_batches, c.batch_size = 1337, 3, 4
    assert trainer.evaluate(None, 2, ids, 8, c) == 2  # the mean of 1, 2 and 3
    assert trainer.evaluate(None, 2, ids, 8, c) == 5
    for first, again in zip(seen[:3], seen[3:], strict=True):
        np.testing.assert_array_equal(first, again)
    rng = trainer.begin({}, 1337)["rng"]
    of_training = {tuple(row) for _ in range(3) for row in data.random_batch(ids, 4, 8, rng)[0].tolist()}
    assert not of_training & {tuple(row) for x in seen for row in x.tolist()}


def test_processes_share_the_batches_of_an_evaluation(monkeypatch):
    monkeypatch.setattr(trainer, "batch_loss", lambda params, x, y, n_head: float(x[0, 0]))
    monkeypatch.setattr(trainer.parallel, "total", lambda comm, losses: comm.losses.append(losses.copy()))
    c = Recipe()
    c.seed, c.eval_batches, c.batch_size = 1, 5, 2
    ids, found = np.arange(100, 200), []
    whole = trainer.evaluate(None, 2, ids, 8, c, type("Comm", (), dict(rank=0, size=1, losses=found)))
    for rank in range(2):
        trainer.evaluate(None, 2, ids, 8, c, type("Comm", (), dict(rank=rank, size=2, losses=found)))
    one, first, second = found
    assert [(first > 0).tolist(), (second > 0).tolist()] == [
        [True, False] * 2 + [True],
        [False, True] * 2 + [False],
    ]
    np.testing.assert_array_equal(first + second, one)
    assert whole == one.mean()


def test_the_log_is_on_the_disk_before_the_state_that_counts_on_it(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(journal.os, "fsync", lambda descriptor: calls.append(("fsync", descriptor)))
    monkeypatch.setattr(trainer, "save_state", lambda *_: calls.append("state"))
    with open(tmp_path / "log.jsonl", "ab", buffering=0) as file:
        trainer.save(tmp_path, {}, {}, file)
        assert calls == [("fsync", file.fileno()), "state"]


# The rate and the size of the batch


def test_a_ramp_longer_than_the_training_is_planned_to_its_end():
    c = Recipe(steps=3, accumulate=5, ramp_tokens=1000, batch_tokens=100)
    assert [schedule.n_batches(c, tokens) for tokens in (0, 100, 200, 249, 250, 999)] == [1, 1, 1, 1, 2, 4]
    assert schedule.planned_tokens(c) == 3 * 100
    c.steps = 4
    assert schedule.planned_tokens(c) == 3 * 100 + 2 * 100


def test_the_rate_goes_by_steps_unless_there_are_tokens():
    c = Recipe(steps=10, warmup=1, lr=1.0, min_lr=0.0, warmup_tokens=40)
    assert schedule.rate(c, 0, 20) == 0.5
    assert schedule.rate(c, 10, 20) == 0.0
    c.decay_tokens = 100
    assert schedule.rate(c, 0, 100) == 0.0
    assert schedule.rate(c, 9, 40) == 1.0
    assert schedule.rate(c, 9, 70) == pytest.approx(0.5)


def test_schedules_halfway():
    halfway = dict(lr=1.0, min_lr=0.2, warmup=0, steps=10)
    found = {name: optim.learning_rate(5, **halfway, schedule=name) for name in optim.SCHEDULES}
    assert found == pytest.approx(dict(cosine=0.6, floor=0.5, linear=0.6, constant=1.0))
    late = {name: optim.learning_rate(9, **halfway, schedule=name) for name in optim.SCHEDULES}
    assert late == pytest.approx(dict(cosine=0.2195774, floor=0.2, linear=0.28, constant=1.0))


def test_the_defaults_are_nanogpts_for_a_cpu_at_twice_its_rate():
    """Its config/train_shakespeare_char.py, with the changes that its README makes for a CPU."""
    c = Settings("").completed()
    assert (c.n_layer, c.n_head, c.n_embd, c.n_ctx, c.dropout, c.tokenizer) == (4, 4, 128, 64, 0.0, "chars")
    assert (c.batch_size, c.steps, c.warmup, c.eval_every, c.eval_batches) == (12, 2000, 100, 250, 20)
    assert (c.lr, c.lowest_lr) == (2 * 1e-3, pytest.approx(2 * 1e-4))
    assert (c.beta1, c.beta2, c.weight_decay, c.clip, c.accumulate) == (0.9, 0.99, 0.1, 1.0, 1)
    assert (c.schedule, c.decay, c.val_share, c.keep) == ("cosine", "matrices", 0.1, "best")


def test_the_rate_at_the_end_may_be_that_after_the_warm_up():
    assert Settings("", lr=1e-3, min_lr=1e-3).completed().lowest_lr == 1e-3
    with pytest.raises(SystemExit):
        Settings("", lr=1e-3, min_lr=1.1e-3).completed()


def test_dropout_of_none_is_the_common_one_and_of_0_is_none():
    c = Settings("", dropout=0.3, dropout_attn=0.0)
    assert c.dropouts == c.p_drop == [0.3, 0.0, 0.3]
    assert Settings("", dropout=0.3).p_drop == 0.3
