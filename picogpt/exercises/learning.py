"""The end of the ladder: AdamW, an adder, and what it is all for: text, and a sorter."""

import copy
import itertools

import numpy as np

from picogpt.exercises.cases import Case, Rung, normal
from picogpt.params.tree import flatten, tree_map

TEXT = ", there was a little girl named Lily. She loved to play with her"  # what the bundled model adds


def adamw_cases():
    """One step and three, other settings, the other rule of decay; that a first step is lr long."""

    def steps(c, params, gradients, **settings):
        params = copy.deepcopy(params)
        moments = c.adamw_init(params)
        for step, grads in enumerate(gradients, start=1):
            c.adamw_step(params, copy.deepcopy(grads), moments, step, **settings)
        return params, moments

    def first(c, params, gradients, **settings):
        return tree_map(np.subtract, steps(c, params, gradients, **settings)[0], params)

    def moved(c, params, gradients, lr):
        params = copy.deepcopy(params)
        return c.adamw_step(params, gradients[0], c.adamw_init(params), 1, lr) / lr

    params = dict(wte=normal(3, 4), ln_f=dict(g=normal(4, of="g")), fc=dict(w=normal(4, 5), b=normal(5)))
    gradients = [tree_map(lambda w: normal(*w.shape, of=f"grad {i}"), params) for i in range(3)]  # noqa: B023
    some = dict(params=params, gradients=gradients)
    signs = tree_map(lambda g: -0.1 * np.sign(g), gradients[0])
    return [
        Case("adamw_init", lambda c, params: c.adamw_init(params), dict(params=params)),
        Case(
            "one step without decay, which is lr against the sign of the gradient",
            first,
            dict(params=params, gradients=gradients[:1], lr=0.1, weight_decay=0.0),
            signs,
            1e-6,
        ),
        Case("params and moments after one step", steps, some | dict(gradients=gradients[:1], lr=0.1)),
        Case("params and moments after 3 steps", steps, some | dict(lr=0.1)),
        Case(
            "params and moments after 3 steps, other settings",
            steps,
            some | dict(lr=0.02, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.5),
        ),
        Case('params and moments after 3 steps, decay="linear"', steps, some | dict(lr=0.1, decay="linear")),
        Case("what adamw_step returns, in units of lr", moved, some | dict(lr=1e-4), moved, 0.01),
    ]


ADAMW = Rung(
    "adamw",
    ["train.optim:adamw_init", "train.optim:adamw_step"],
    "tree_map(f, params, grads, m, v) calls f with the arrays at the same place in each tree; chunks"
    " gives their paths too, which DECAYS asks for. Change w, m and v in place (m *= b1; m += ...).",
    adamw_cases,
)


def schedule_cases():
    """All schedules step by step; gradients too long, short enough, and never clipped."""

    def rates(c, **settings):
        return [c.learning_rate(step, **settings) for step in range(16)]

    def clipped(c, grads, max_norm):
        grads = copy.deepcopy(grads)
        return c.clip(grads, max_norm), grads

    grads, some = dict(w=normal(3, 4), b=[normal(4), normal(2)]), dict(lr=2.0, min_lr=0.1, warmup=3, steps=13)
    return [
        Case("learning_rate at steps 0 to 15, warmup=3, steps=13", rates, some),
        Case("learning_rate without warmup", rates, dict(lr=0.5, min_lr=0.0, warmup=0, steps=10)),
        Case('learning_rate, schedule="linear"', rates, some | dict(schedule="linear")),
        Case('learning_rate, schedule="floor"', rates, some | dict(schedule="floor")),
        Case('learning_rate, schedule="constant"', rates, some | dict(schedule="constant")),
        Case("the norm and the gradients after clip to 1", clipped, dict(grads=grads, max_norm=1.0)),
        Case("the norm and the gradients after clip to 100", clipped, dict(grads=grads, max_norm=100.0)),
        Case(
            "the norm and the gradients after clip to 0, which means never",
            clipped,
            dict(grads=grads, max_norm=0.0),
        ),
        Case(
            "clip of 3 and 4 to 1",
            clipped,
            dict(grads=dict(w=np.array([3.0]), b=np.array([4.0])), max_norm=1.0),
            (5.0, dict(w=np.array([0.6]), b=np.array([0.8]))),
            1e-6,
        ),
    ]


SCHEDULE = Rung(
    "schedule",
    ["train.optim:learning_rate", "train.optim:clip"],
    "Warmup: lr * (step + 1) / (warmup + 1). After it, progress runs from 0 to 1 and no further, and 0.5"
    " * (1 + cos(pi * progress)) from 1 to 0. clip: one norm for the whole tree; scale in place if it is"
    " longer than max_norm; return it.",
    schedule_cases,
)


def learn(c, hparams, draw, steps, lr=0.01):
    """Train a new model with the reader's functions only; return its parameters."""
    rng = np.random.default_rng(0)
    params = c.init_params(hparams, rng)
    moments = c.adamw_init(params)
    for step in range(steps):
        ids, targets = draw(rng)
        _, grads = c.loss_and_grads(params, ids, targets, hparams["n_head"])
        c.clip(grads, 1.0)
        rate = c.learning_rate(step, lr, lr / 10, 10, steps)
        c.adamw_step(params, grads, moments, step + 1, rate, weight_decay=0.01)
    return params


def tiny(n_vocab, n_ctx, n_layer):
    """Return the hyper-parameters of a model that learns in seconds."""
    return dict(n_vocab=n_vocab, n_ctx=n_ctx, n_embd=32, n_head=4, n_layer=n_layer)


def adder_cases():
    """What is drawn, by its statistics: any order of drawing will do; then a model that learns to add."""
    hparams = dict(n_vocab=90, n_ctx=80, n_embd=60, n_head=3, n_layer=3)

    def drawn(c, hparams):
        return flatten(c.init_params(hparams, np.random.default_rng(0)))

    def shapes(c, hparams, dtype):
        params = c.init_params(hparams, np.random.default_rng(0), dtype)
        return tree_map(lambda w: 0 * w + 1, params)

    def constants(c, hparams):
        return {path: w for path, w in drawn(c, hparams).items() if path.endswith((".g", ".b"))}

    def deviations(c, hparams):
        return {
            path: float(w.std()) / 0.02
            for path, w in drawn(c, hparams).items()
            if not path.endswith((".g", ".b"))
        }

    def expected(c, hparams):
        return {path: 6**-0.5 if path.endswith("c_proj.w") else 1.0 for path in deviations(c, hparams)}

    def fourth_moments(c, hparams):
        return float((drawn(c, hparams)["wte"].astype(float) ** 4).mean() / 0.02**4)

    def correlation(c, hparams):
        flat = drawn(c, hparams)
        a, b = flat["blocks.0.attn.c_attn.w"], flat["blocks.1.attn.c_attn.w"]
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    def sums(c, hparams):
        a, b = np.divmod(np.arange(100), 10)
        tens, ones = np.divmod(a + b, 10)
        ids, targets = np.stack([a, b, tens], axis=1), np.stack([-1 + 0 * a, tens, ones], axis=1)
        params = learn(c, hparams, lambda rng: (ids, targets), steps=250)
        likeliest = c.gpt2(ids, params, hparams["n_head"])[:, 1:].argmax(axis=-1)
        return likeliest @ [10, 1]

    return [
        Case("the names, shapes and dtypes of init_params", shapes, dict(hparams=hparams, dtype=np.float32)),
        Case("the same, asked for in float64", shapes, dict(hparams=hparams, dtype=np.float64)),
        Case("gains and biases of init_params", constants, dict(hparams=hparams)),
        Case(
            "the standard deviations of init_params, in units of 0.02; c_proj's are smaller by sqrt(2 * 3)",
            deviations,
            dict(hparams=hparams),
            expected,
            0.06,
        ),
        Case(
            "the mean of wte^4 in units of 0.02^4, which for normal numbers is 3",
            fourth_moments,
            dict(hparams=hparams),
            3.0,
            0.4,
        ),
        Case("the correlation between two blocks' weights", correlation, dict(hparams=hparams), 0.0, 0.05),
        Case(
            "the sums a + b of all digits, as a model of your own says after 250 steps",
            sums,
            dict(hparams=tiny(10, 4, 1)),
            np.add.outer(np.arange(10), np.arange(10)).ravel(),
            slow=True,
        ),
    ]


ADDER = Rung(
    "adder",
    ["params.init:init_params"],
    "flatten(param_shapes(**hparams)) has the shape of every path, nest makes a tree of paths again. .g"
    " are 1, .b are 0, all others 0.02 * rng.standard_normal(shape), times 1 / sqrt(2 * n_layer) where the"
    " path ends in c_proj.w; .astype(dtype). Then a model that you drew learns to add.",
    adder_cases,
)


def sorter_cases():
    """Rows of ids, finished at different times; then a tale, and a model that learns to sort."""

    def new_ids(c, temperature=0.0, top_k=0, seed=1, **settings):
        params = c.init_params(tiny(17, 12, 2), np.random.default_rng(0))
        params = tree_map(lambda w: 10 * w, params)  # so that it has opinions
        return c.generate(
            params, 4, [[1, 2, 3], [16], [5, 4]], 6, c.Choice(temperature, top_k, seed=seed), **settings
        )

    def finished(c):
        return new_ids(c, seed=3, temperature=3.0, finished=lambda ids: ids[-1] % 3 == 0)

    def text(c):
        from picogpt.checkpoints import weights  # only here: it takes longer than most rungs

        params, hparams, encoder = weights.load(weights.shipped("tales"))
        [ids] = c.generate(params, hparams["n_head"], [encoder.encode("Once upon a time")], 15)
        return encoder.decode(ids)

    def sorts(c, n_digits, length, steps):
        hparams = tiny(n_digits, 2 * length, 2)
        rows = np.array(list(itertools.product(range(n_digits), repeat=length)))
        held_out = rows.sum(axis=1) % 5 == 0

        def draw(rng):
            some = rng.choice(rows[~held_out], 64)
            full = np.concatenate([some, np.sort(some, axis=1)], axis=1)
            targets = full[:, 1:].copy()
            targets[:, : length - 1] = -1
            return full[:, :-1], targets

        params = learn(c, hparams, draw, steps)
        answers = c.generate(params, hparams["n_head"], rows[held_out].tolist(), length)
        return bool((answers == np.sort(rows[held_out], axis=1)).all(axis=1).mean() > 0.9)

    return [
        Case("generate 6 tokens for 3 rows", new_ids, {}),
        Case("generate with temperature 2 and top_k 5", new_ids, dict(temperature=2.0, top_k=5)),
        Case("generate for rows that are finished at different times", finished, {}),
        Case("what the bundled model says after 'Once upon a time'", text, {}, TEXT, slow=True),
        Case(
            "whether a model of your own sorts more than 9 in 10 lists that it never saw",
            sorts,
            dict(n_digits=4, length=5, steps=300),
            True,
            slow=True,
        ),
    ]


SORTER = Rung(
    "sorter",
    ["generate:generate"],
    "stream yields for every step the list of the rows' new ids, None for a row that is finished; lists"
    " of rows are asked for. Then your code goes on with a story, and teaches a model to sort.",
    sorter_cases,
)

RUNGS = [ADAMW, SCHEDULE, ADDER, SORTER]
