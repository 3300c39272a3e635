# %% [markdown]
# # A sorter, trained here
#
# minGPT's demo: a GPT that learns to sort six digits from examples alone. It reads `201120` and has to go on with
# `001122`. The model is small; the code is the one that trains all of picogpt's models.
#
# On Colab: `!git clone` picogpt's repository, `%cd` into it, `!pip install -e ".[plot]"`, and run on.

# %%
import functools

import numpy as np
from IPython.display import clear_output, display
from matplotlib.figure import Figure

from picogpt.params.init import init_params
from picogpt.params.shapes import n_params
from picogpt.projects import sorter
from picogpt.train import trainer
from picogpt.train.settings import Recipe

seen, held_out = sorter.split(sorter.all_rows(length=6, n_digits=3), seed=1337)
ids, targets = sorter.random_batch(seen, 1, np.random.default_rng(0))
print(ids, "is read")
print(targets, "should come next; -1 does not count")

# %%
hparams = dict(n_vocab=3, n_ctx=11, n_embd=48, n_head=3, n_layer=3)
params = init_params(hparams, np.random.default_rng(1337))
f"{n_params(hparams):,} parameters, {len(seen)} rows to learn from, {len(held_out)} never seen"

# %% [markdown]
# An update draws a batch, finds the gradients by `grad.py`, and makes a step of AdamW. `trainer.updates` yields
# the record of each, so a loop over it is a training that one can watch.

# %%
STEPS = 400
recipe = Recipe(steps=STEPS, lr=1e-3, min_lr=1e-3, warmup=0, beta2=0.95)
draw = functools.partial(sorter.random_batch, seen, 64)
state, losses = trainer.begin(params, seed=1337), []


def draw_losses():
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(losses)
    axes.set_xlim(0, STEPS)
    axes.set_title(f"loss, nats per digit: {losses[-1]:.4f} after {len(losses)} updates")
    clear_output(wait=True)
    display(figure)


for record in trainer.updates(state, recipe, draw, trainer.language_model(hparams["n_head"])):
    losses.append(record["loss"])
    if record["step"] % 50 == 0:
        draw_losses()

# %% [markdown]
# ## Does it sort what it has never seen?

# %%
sort = functools.partial(sorter.model_sort, params, hparams["n_head"])
wrong = sorter.mistakes(sort, held_out)
print(f"{len(held_out) - len(wrong)} of {len(held_out)} rows that it has never seen are sorted", *wrong[:3])

# %%
row = np.array([[2, 0, 1, 1, 2, 0]])
print(row, "->", sort(row))
