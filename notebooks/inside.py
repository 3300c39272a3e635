# %% [markdown]
# # Inside
#
# What a model does with a prompt, and the way back: a gradient by hand against the library's.
#
# On Colab: `!git clone` picogpt's repository, `%cd` into it, `!pip install -e .`, and run on.

# %%
import numpy as np

import picogpt
from picogpt.explain import backwards, insides
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import softmax

model = picogpt.load("tales")
params, n_head = model.params, model.hparams["n_head"]
ids = model.ids("Once upon a time there was a king")

# %% [markdown]
# `gpt2` leaves what it computed in `acts`: one dict for each layer, and one for the model.

# %%
acts = []
logits = gpt2([ids], params, n_head, acts=acts)
{name: value.shape for name, value in acts[0].items() if value is not None}

# %% [markdown]
# ## What it would say after each layer (the logit lens)

# %%
for layer, x in enumerate(insides.streams(acts)):
    p = softmax(insides.logit_lens(params, x[-1]))
    print(layer, *(f"{model.encoder.decode([i])!r} {p[i]:.0%}" for i in np.argsort(-p)[:4]))

# %% [markdown]
# ## Where a head looks

# %%
layer, head = 3, 0
q, k = acts[layer]["q"][0, head], acts[layer]["k"][0, head]  # [T, D]
scores = q[-1] @ k.T / np.sqrt(q.shape[-1])  # the last token may look at all
np.allclose(softmax(scores), insides.attention_maps(params, acts)[layer, head, -1], atol=1e-6)

# %%
for i, weight in zip(ids, softmax(scores)):
    print(f"{weight:6.1%} {'#' * round(40 * weight)} {model.encoder.decode([i])!r}")

# %% [markdown]
# ## The way back, by hand
#
# The loss is -ln p(what came). Its derivative by the logits is p - 1 for what came and p for all else: one line.

# %%
came = model.encoder.encode(" who")[0]
targets = np.array([[-1] * (len(ids) - 1) + [came]])
loss, grads = loss_and_grads(params, [ids], targets, n_head)
p = softmax(logits[0, -1])
dlogits = p.copy()
dlogits[came] -= 1
loss, -np.log(p[came])

# %% [markdown]
# From there to the bias of the final norm: logits = y wte^T, so dy = dlogits wte, and the bias is added to y.

# %%
by_hand = dlogits @ params["wte"]
np.abs(by_hand - grads["ln_f"]["b"]).max()

# %% [markdown]
# And the plainest check of all: move one number a little, and see what the loss does.

# %%
place = params["blocks"][1]["mlp"]["c_fc"]["b"]
i = np.abs(grads["blocks"][1]["mlp"]["c_fc"]["b"]).argmax()
eps, before = 1e-2, place[i].copy()
moved = []
for step in (eps, -eps):
    place[i] = before + step
    moved.append(loss_and_grads(params, [ids], targets, n_head)[0])
place[i] = before
(moved[0] - moved[1]) / (2 * eps), grads["blocks"][1]["mlp"]["c_fc"]["b"][i]

# %% [markdown]
# ## Which tokens the loss hangs on

# %%
_, dstream, _ = backwards.way_back(params, n_head, ids, came)
for i, x in zip(ids, backwards.relevance(params, ids, dstream)):
    print(f"{x:+.3f} {model.encoder.decode([i])!r}")

# %% [markdown]
# ## The whole page, here

# %%
import html

from IPython.display import HTML

from picogpt.explain.gather import gather
from picogpt.explain.page import page

content = html.escape(page(gather(params, model.hparams, model.encoder, ids[:5], 5, "tales")))
HTML(f'<iframe srcdoc="{content}" style="width: 100%; height: 42rem; border: 1px solid #8884"></iframe>')
