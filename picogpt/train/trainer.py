"""The training itself: draw a batch, compute the gradients, make a step, and evaluate now and then.

`c` are the Settings of a training, of which an update needs the Recipe: see settings.py. `state` is what the
next step depends on, see state.py.
"""

import contextlib
import functools
import logging
import math
import shlex
import time
from pathlib import Path

import numpy as np

from picogpt.checkpoints import weights
from picogpt.generate import Choice, generate
from picogpt.params.tree import tree_map
from picogpt.speed.shards import add, batch_gradients, batch_loss
from picogpt.system import interrupt, progress
from picogpt.system.machine import keep_memory
from picogpt.text import data
from picogpt.train import half, journal, optim, parallel, schedule, shard
from picogpt.train.muon import OPTIMIZERS
from picogpt.train.parallel import ALONE
from picogpt.train.settings import Recipe, Settings
from picogpt.train.state import STATE, save_state

log = logging.getLogger("picogpt")
SAVE_EVERY = 30  # seconds
MEASURE_EVERY = 10  # steps from one whose update's length is measured to the next


def loop(state, c: Settings, hparams, encoder, splits, folder, comm=ALONE):
    """Train from state["step"] to the last step; evaluate, save and show a sample on the way.

    The state is saved after each evaluation, about every half minute, and when an interrupt asks to stop: the
    update that is being made is finished first.
    """
    keep_memory()
    started, first = time.monotonic(), comm.rank == 0
    draw = functools.partial(data.random_batch, splits[0], c.batch_size, hparams["n_ctx"], starts=c.starts[0])
    gradients = language_model(hparams["n_head"], comm, state.get("loss_scale"))
    with (
        progress.shown(schedule.planned_tokens(c), state["tokens"], "tok", hidden=not first) as bar,
        journal.open_log(folder, state["step"]) if first else contextlib.nullcontext() as file,
        interrupt.asked(f"go on with: {command_line(folder)}", patience=float(comm.size > 1)) as request,
    ):
        look = functools.partial(
            save_progress, state, c, hparams, encoder, splits, folder, file, comm, request
        )
        next_save = look() if is_due(state["step"], c) else time.monotonic() + SAVE_EVERY
        request.end(parallel.broadcast(comm, request.number), state["step"], c.steps)
        for record in updates(state, c, draw, gradients, comm):
            step = record["step"]
            if first:
                journal.write(file, record)
                shown = f"step {step}, loss {record['loss']:.3f}, gradient {record['norm']:.2f}"
                bar.show(state["tokens"], shown)
            if first and c.sample_every and step % c.sample_every == 0 and not request:
                log.info("sample: %s", sample_text(state, hparams, encoder))
            stop, saves = parallel.broadcast(comm, (request.number, time.monotonic() >= next_save))
            if is_due(step, c):
                next_save = look()
            elif (stop or saves) and (first or "shards" in state):
                next_save = save(folder, state, c.fixed(), file)
            if stop or request.broken:
                parallel.broadcast(comm, None)  # the others wait until the first one has saved the state
                request.end(stop or request.number, step, c.steps)
            time_is_up = c.max_minutes and time.monotonic() - started >= 60 * c.max_minutes
            if is_due(step, c) and parallel.broadcast(comm, time_is_up) and step < c.steps:
                log.info("the time is up: --resume goes on from step %d", step)
                break


def is_due(step, c):
    """Return whether the model is evaluated after so many updates."""
    return step % c.eval_every == 0 or step == c.steps


def command_line(folder):
    """Return the command by which a training goes on."""
    return shlex.join(["python", "-m", "picogpt.train", "--resume", "--out", str(folder)])


def begin(params, seed, precision="float32"):
    """Return the state of a training before its first step. `params` is trained in place."""
    rng = np.random.default_rng([seed, 1])  # of batches and dropout
    state = dict(params=params, moments=optim.adamw_init(params), step=0, tokens=0, rng=rng, best=math.inf)
    return state | (dict(loss_scale=half.LossScale().state) if precision == "float16" else {})


def language_model(n_head, comm=ALONE, loss_scale=None):
    """Return the `gradients` that `updates` takes, for batches of (ids, targets) of a language model.

    With the loss scale of a state, the matrix products are in float16: see train/half.py.
    """
    if loss_scale is not None:
        return half.gradients(n_head, half.LossScale(loss_scale))

    def gradients(params, batch, p_drop, rng):
        return batch_gradients(params, *batch, n_head, p_drop, rng, comm.rank, comm.size)

    return gradients


def updates(state, c: Recipe, draw, gradients, comm=ALONE):
    """Make the updates from state["step"] to c.steps; yield the record of each, see journal.py.

    draw(rng=) -> a batch, of any kind; gradients(params, batch, p_drop, rng) -> its mean loss, and a tree
    like `params`; with several processes, the summands of this one. So anything that learns by gradients can
    be trained here.
    """
    while state["step"] < c.steps:
        yield update(state, c, draw, gradients, comm)


def update(state, c: Recipe, draw, gradients, comm=ALONE):
    """Make one update: batches, gradients, clipping, AdamW or Muon. -> its record, see journal.py."""
    started, waited = time.monotonic(), [0.0]
    loss, grads, n = sum_gradients(state, c, draw, gradients, comm, waited)
    if n > 1:
        tree_map(lambda g: np.multiply(g, 1 / n, out=g), grads)
    params, clip, sharded = state["params"], optim.clip, "shards" in state
    if sharded:
        params, clip = shard.rows(comm, params), functools.partial(shard.clip, comm)
    norm = clip(grads, c.clip)
    if not math.isfinite(norm):
        more = ", or --precision float32" if "loss_scale" in state else ""
        raise ValueError(f"the gradient at step {state['step']} is {norm}: try a smaller --lr{more}")
    tokens = state["tokens"] + n * c.batch_tokens
    lr = schedule.rate(c, state["step"], tokens)
    state |= dict(step=state["step"] + 1, tokens=tokens)
    ratio = OPTIMIZERS[c.optimizer](
        params, grads, state["moments"], state["step"], lr,
        betas=(c.beta1, c.beta2), weight_decay=c.weight_decay, decay=c.decay,
        measure=state["step"] % MEASURE_EVERY == 0,
    )  # fmt: skip
    if sharded:
        ratio = shard.ratio(comm, ratio, params)
        timed(waited, shard.gather, comm, state["params"])
    record = dict(step=state["step"], tokens=tokens, loss=loss, lr=lr, norm=norm, ratio=ratio)
    record["seconds"] = round(time.monotonic() - started, 6)
    return record if comm is ALONE else record | dict(communication=round(sum(waited), 6))


def sum_gradients(state, c: Recipe, draw, gradients, comm, waited):
    """Return the mean loss of an update's batches, the sum of their gradients, and how many batches.

    With several processes these are sums over all, of a sharded training this process's rows. The seconds
    that it takes them to be exchanged are appended to `waited`.
    """
    losses, grads, n = [], None, schedule.n_batches(c, state["tokens"])
    for _ in range(n):
        batch = draw(rng=state["rng"])
        loss, new = gradients(state["params"], batch, c.p_drop, state["rng"])
        if "shards" in state:
            new = timed(waited, shard.scatter, comm, new)
        grads = add(grads, new)
        losses.append(float(loss))
    loss = sum(losses) / n
    if "shards" in state:
        return float(timed(waited, parallel.total, comm, np.array(loss))), grads, n
    return *timed(waited, parallel.total_gradients, comm, loss, grads), n


def timed(seconds, f, *args):
    """Return f(*args), and append to `seconds` how many it took."""
    began = time.monotonic()
    result = f(*args)
    seconds.append(time.monotonic() - began)
    return result


def evaluate(params, n_head, ids, n_ctx, c, comm=ALONE, starts=None):
    """Return the mean loss, in nats per token, over random windows: the same ones at every evaluation."""
    rng = np.random.default_rng([c.seed, 2])
    losses = np.zeros(c.eval_batches)
    for i in range(c.eval_batches):
        x, y = data.random_batch(ids, c.batch_size, n_ctx, rng, starts)
        if i % comm.size == comm.rank:
            losses[i] = batch_loss(params, x, y, n_head)
    parallel.total(comm, losses)
    return float(sum(losses)) / len(losses)


def evaluate_splits(params, c, hparams, splits, comm=ALONE, starts=(None, None)):
    """Return the losses on the training and on the held-out text; NaN where there is no text."""
    return [
        evaluate(params, hparams["n_head"], ids, hparams["n_ctx"], c, comm, begins) if len(ids) else math.nan
        for ids, begins in zip(splits, starts, strict=True)
    ]


def save_progress(state, c: Settings, hparams, encoder, splits, folder, file, comm=ALONE, request=None):
    """Evaluate; keep the model if it is the best so far, or is to be kept anyway; then save the state.

    In this order, so that a training that is killed in between does the missing part when it resumes; and so
    does one that is interrupted during the evaluation, see `StopRequest.breaks`. Return when to save next.
    """
    request = interrupt.StopRequest() if request is None else request
    if request and comm is ALONE:
        request.broken = True
        return save(folder, state, c.fixed(), file)
    with request.breaks() if comm is ALONE else contextlib.nullcontext():
        train_loss, val_loss = evaluate_splits(state["params"], c, hparams, splits, comm, c.starts)
    if comm.rank:
        return save(folder, state, c.fixed(), file) if "shards" in state else math.inf
    if request.broken:
        return save(folder, state, c.fixed(), file)
    log.info("step %d: training loss %.4f, held-out loss %.4f", state["step"], train_loss, val_loss)
    journal.write(file, dict(step=state["step"], train_loss=train_loss, val_loss=val_loss))
    if c.keep == "last" or not val_loss >= state["best"]:  # also without held-out text, where it is NaN
        weights.save(folder, state["params"], hparams, encoder, step=None if c.init else state["step"])
    state["best"] = min(state["best"], val_loss)
    return save(folder, state, c.fixed(), file)


def save(folder, state, settings, file):
    """Save the state, after the log that goes with it is on the disk; return when to save it next.

    That is in half a minute, or later, so that saving takes at most a tenth of the time.
    """
    began = time.monotonic()

    def write(whole):
        journal.sync(file)
        save_state(Path(folder, STATE), whole, settings)

    shard.with_all_rows(state, write)
    ended = time.monotonic()
    return ended + (SAVE_EVERY and max(SAVE_EVERY, 9 * (ended - began)))


def sample_text(state, hparams, encoder, n=100):
    """Return `n` tokens of the model's text, begun as its documents are; the training's rng is not used."""
    n_new = min(n, hparams["n_ctx"])
    prompts, n_head = [[encoder.start]], hparams["n_head"]
    [ids] = generate(state["params"], n_head, prompts, n_new, Choice(temperature=0.8, seed=state["step"]))
    return encoder.decode(ids)
