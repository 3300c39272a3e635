"""A training whose state is cut among processes makes the steps of one process; here they are threads."""

import math

import numpy as np
import pytest
from threads import together

from picogpt.grad import loss_and_grads
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map
from picogpt.train import parallel, shard, trainer
from picogpt.train.settings import Recipe
from picogpt.train.state import load_state, save_state

SHAPES = dict(wte=(7, 3), blocks=[dict(w=(5, 4), b=(2,)), dict(w=(4, 1), b=(3,))], ln_f=(1,))
N_PARTS = 6  # of each batch's gradient, shared among the processes
RECIPE = dict(warmup=0, schedule="constant", clip=4.0, accumulate=2)


def begun(dtype=np.float64):
    """A state before its first step, the same in each process."""
    rng = np.random.default_rng(0)
    params = tree_map(lambda shape: rng.standard_normal(shape).astype(dtype), tree_of(SHAPES))
    return trainer.begin(params, 3)


def tree_of(shapes):
    """SHAPES with leaves that `tree_map` takes for leaves."""
    if isinstance(shapes, dict):
        return {name: tree_of(shape) for name, shape in shapes.items()}
    return [tree_of(shape) for shape in shapes] if isinstance(shapes, list) else shapes


def gradients_of(comm):
    """What a process adds to the loss and the gradients of a batch: some of its random parts."""

    def gradients(params, batch, p_drop, rng):
        parts = [tree_map(lambda w: rng.standard_normal(w.shape), params) for _ in range(N_PARTS)]
        own = parts[comm.rank :: comm.size]
        losses = range(N_PARTS)[comm.rank :: comm.size]
        return float(sum(losses)), tree_map(lambda *g: sum(g), *own)

    return gradients


def train(state, steps, comm):
    recipe = Recipe(steps=steps, **RECIPE)
    records = list(trainer.updates(state, recipe, lambda rng: (), gradients_of(comm), comm))
    return [[record[name] for name in ("loss", "norm", "lr", "ratio")] for record in records]


def assert_close(tree, expected):
    for path, array in flatten(expected).items():
        np.testing.assert_allclose(flatten(tree)[path], array, rtol=1e-12, err_msg=path)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("sharded", [False, True])
def test_steps_are_those_of_one_process(n, sharded, monkeypatch, tmp_path):
    alone = begun()
    expected = train(alone, 21, parallel.ALONE)
    assert min(norm for _, norm, *_ in expected) > RECIPE["clip"]  # so they are clipped

    def work(comm):
        state = shard.hand_out(comm, begun() if comm.rank == 0 else None, sharded)
        records = train(state, 10, comm)

        def write(whole):
            assert comm.rank == 0
            save_state(tmp_path / "state", whole, {})

        if sharded or comm.rank == 0:
            shard.with_all_rows(state, write)
        comm.swap(None)
        saved = load_state(tmp_path / "state", {}, mapped=True) if comm.rank == 0 else None
        state = shard.hand_out(comm, saved, sharded)
        return records + train(state, 21, comm), state

    found = together(n, work, monkeypatch)
    for rank, (records, state) in enumerate(found):
        np.testing.assert_allclose(np.array(records), np.array(expected), rtol=1e-12)
        assert ("shards" in state) == (sharded and n > 1)
        assert_close(state["params"], alone["params"])
        own = SimpleRank(rank, n)
        moments = {name: shard.rows(own, tree) for name, tree in alone["moments"].items()}
        assert_close(state["moments"], moments if "shards" in state else alone["moments"])


class SimpleRank:
    """A process that talks to no other."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def test_a_gradient_below_the_limit_stays_and_so_does_one_that_is_no_number(monkeypatch):
    whole = np.arange(6.0).reshape(3, 2)  # of length sqrt(55)

    def work(comm):
        found = []
        for factor, limit in ((1, 8), (1, 7), (1, 0), (math.inf, 7)):
            own = dict(w=shard.rows(comm, [factor * (whole + 1 - 1 / factor)])[0].copy())
            found.append((shard.clip(comm, own, limit), own["w"]))
        return found

    for rank, found in enumerate(together(2, work, monkeypatch)):
        rows = whole[[slice(0, 1), slice(1, 3)][rank]]
        norms = [norm for norm, _ in found]
        np.testing.assert_allclose(norms, [math.sqrt(55)] * 3 + [math.inf])
        np.testing.assert_array_equal(found[0][1], rows)
        np.testing.assert_allclose(found[1][1], rows * 7 / math.sqrt(55))
        np.testing.assert_array_equal(found[2][1], rows)
        assert np.isinf(found[3][1]).all()


def test_a_state_is_handed_out_as_arrays_of_ones_own(monkeypatch):
    given = begun(np.float32)
    given["params"]["wte"] = np.asfortranarray(given["params"]["wte"])  # which MPI would not send
    for tree in (given["params"], *given["moments"].values()):
        tree_map(lambda w: w.setflags(write=False), tree)  # as one that is mapped

    def work(comm):
        return shard.hand_out(comm, given if comm.rank == 0 else None, False)

    for state in together(2, work, monkeypatch):
        assert {*state} == {*given} and state["best"] == math.inf and state["step"] == 0
        for name in ("params", "moments"):
            for path, array in flatten(state[name]).items():
                assert array.flags.writeable and array.flags.c_contiguous and array.dtype == np.float32
                np.testing.assert_array_equal(array, flatten(given[name])[path])


def test_what_each_process_adds_makes_the_gradients_of_the_whole_batch():
    params = init_params(dict(n_vocab=17, n_ctx=8, n_embd=12, n_head=3, n_layer=1), np.random.default_rng(0))
    batch = np.random.default_rng(1).integers(0, 17, (2, 5, 8))
    expected_loss, expected = loss_and_grads(params, *batch, 3)
    of_each = [trainer.language_model(3, SimpleRank(rank, 3))(params, batch, 0, None) for rank in range(3)]
    assert sum(loss for loss, _ in of_each) == pytest.approx(expected_loss, rel=1e-6)
    total = tree_map(lambda *g: sum(g), *(grads for _, grads in of_each))
    for path, g in flatten(total).items():
        np.testing.assert_allclose(g, flatten(expected)[path], rtol=1e-4, atol=1e-7, err_msg=path)


def test_arrays_of_the_others_are_filled_from_the_first_ones(monkeypatch):
    def work(comm):
        tree = dict(a=np.full((2, 3), comm.rank + 1.0), b=[np.arange(4) * (comm.rank + 1)])
        parallel.broadcast_into(comm, tree)
        return tree, parallel.broadcast(comm, comm.rank + 5)

    for tree, value in together(3, work, monkeypatch):
        assert (tree["a"].tolist(), tree["b"][0].tolist(), value) == ([[1] * 3] * 2, [0, 1, 2, 3], 5)
