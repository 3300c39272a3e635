"""Learning rates and sizes of batches, by steps and by tokens."""

import types

import numpy as np
import pytest

from picogpt.train import schedule, trainer
from picogpt.train.settings import Recipe

# What minGPT's tuned play_char printed at the end of epochs of 1,106,816 tokens, '%e' % lr.
PUBLISHED = {
    1: "5.999354e-04",
    2: "5.997392e-04",
    3: "5.994116e-04",
    50: "4.500336e-04",
    100: "1.500168e-04",
    148: "6.000000e-05",
    149: "6.000000e-05",
    150: "6.000000e-05",
}


@pytest.mark.parametrize("epoch", PUBLISHED)
def test_the_schedule_by_tokens_is_mingpts(epoch):
    n_epoch = 8647 * 128  # tokens: ceil(1115394 / 129) windows
    c = Recipe(lr=6e-4, min_lr=6e-5, warmup_tokens=512 * 20, decay_tokens=150 * n_epoch)
    c.schedule = "floor"
    assert f"{schedule.rate(c, step=None, tokens=epoch * n_epoch):e}" == PUBLISHED[epoch]


def test_the_rate_by_tokens_is_that_by_steps_where_updates_are_alike():
    by_steps = Recipe(steps=50, warmup=10)
    by_tokens = Recipe(warmup_tokens=10 * 768, decay_tokens=50 * 768)
    for step in range(10, 60):
        rates = schedule.rate(by_steps, step, None), schedule.rate(by_tokens, None, 768 * step)
        assert rates[0] == pytest.approx(rates[1], rel=1e-12)
    assert schedule.rate(by_tokens, None, 5 * 768) == pytest.approx(by_tokens.lr / 2, rel=1e-3)


def test_batches_grow_linearly_to_their_full_number():
    c = types.SimpleNamespace(accumulate=5, ramp_tokens=100, batch_tokens=10, steps=12)
    assert [schedule.n_batches(c, tokens) for tokens in (0, 24, 25, 50, 75, 99, 100, 10**9)] == [
        *(1, 1, 2, 3, 4, 4, 5, 5)
    ]
    tokens = 0
    for _ in range(c.steps):
        tokens += 10 * schedule.n_batches(c, tokens)
    assert schedule.planned_tokens(c) == tokens
    c.ramp_tokens = 0
    assert schedule.planned_tokens(c) == 12 * 5 * 10


def test_an_update_takes_as_many_batches_as_the_ramp_says_and_counts_their_tokens():
    params = dict(w=np.ones((3, 2)))
    state, drawn = trainer.begin(params, 1), []

    def draw(rng):
        drawn.append(0)
        return rng.standard_normal((3, 2))

    def gradients(params, batch, p_drop, rng):
        return float(batch.mean()), dict(w=params["w"] - batch)

    c = Recipe(steps=6, accumulate=3, ramp_tokens=20, batch_tokens=10)
    c.warmup_tokens, c.decay_tokens = 30, schedule.planned_tokens(c)
    seen = []
    for record in trainer.updates(state, c, draw, gradients):
        seen.append((len(drawn), state["tokens"]))
        assert record["tokens"] == state["tokens"]
        assert record["lr"] == schedule.rate(c, None, state["tokens"])
    assert seen == [(1, 10), (3, 30), (6, 60), (9, 90), (12, 120), (15, 150)]
    assert c.decay_tokens == 150
    assert record["lr"] == pytest.approx(c.lr / 10)
