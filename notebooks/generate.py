# %% [markdown]
# # Text from a GPT-2
#
# A model is loaded, writes, and we look at what sampling does. The small model that comes with picogpt is enough;
# with `picogpt.load("124M")` it is OpenAI's.
#
# On Colab: `!git clone` picogpt's repository, `%cd` into it, `!pip install -e .`, and run on.

# %%
import numpy as np

import picogpt

model = picogpt.load("tales")
model.hparams

# %% [markdown]
# ## A text
#
# Without a temperature, the likeliest token is taken each time.

# %%
prompt = "Once upon a time there was a"
print(prompt + model.generate(prompt, n=30))

# %% [markdown]
# ## One step of it
#
# A text becomes numbers, its tokens; the model scores every token of its vocabulary as the next one (the logits);
# softmax turns scores into probabilities.

# %%
ids = model.ids(prompt)
[(i, model.encoder.decode([i])) for i in ids]

# %%
from picogpt.ops import softmax

logits = model.logits(prompt)  # [T, V]
probs = softmax(logits[-1])
for i in np.argsort(-probs)[:8]:
    print(f"{probs[i]:6.1%}  {model.encoder.decode([i])!r}")

# %% [markdown]
# ## Temperature
#
# The logits are divided by it: below 1 the likely becomes likelier, above 1 the unlikely gets its chance.

# %%
for temperature in (0.3, 0.7, 1.0, 1.5):
    p = softmax(logits[-1] / temperature)
    print(
        f"{temperature}: the likeliest has {p.max():.0%}; "
        + model.generate(prompt, n=16, temperature=temperature, seed=1)
    )

# %% [markdown]
# ## Top-k and top-p
#
# Both cut the tail of unlikely tokens, whose many small probabilities add up to many mistakes.

# %%
for cut in (dict(top_k=5), dict(top_p=0.8)):
    print(cut, model.generate(prompt, n=24, temperature=1.0, seed=2, **cut))

# %% [markdown]
# The same, by the functions that one reads: `generate.py` filters the logits and draws.

# %%
from picogpt.generate import keep_top_k, keep_top_p

for kept in (keep_top_k(logits[-1:], 5), keep_top_p(logits[-1:], 0.8)):
    print(int(np.isfinite(kept).sum()), "tokens can be drawn")

# %% [markdown]
# ## How likely is a text?
#
# The log-probability of each token, after all before it.

# %%
for text in ("The king had a daughter.", "The king had a the of."):
    scored = model.score(text)
    print(f"{sum(p for _, p in scored):7.1f}", [(token, round(p, 1)) for token, p in scored])
