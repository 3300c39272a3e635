"""Other initial weights than GPT-2's, which are in params/init.py: their deviations, or whole matrices."""

import math

import numpy as np


def igpt(path, n_embd, n_layer):
    """Return image GPT's: attention's by the number of channels, its projection's by that of layers, too.

    Its output head, which must be one of its own, begins as zeros: all tokens are then equally likely, and
    the first loss is ln n_vocab (openai/image-gpt, src/model.py; Child et al. 2019, section 6).
    """
    if path == "lm_head":
        return 0.0
    if path == "wpe":
        return 0.01
    if path.endswith("attn.c_attn.w"):
        return 1 / math.sqrt(n_embd)
    return 1 / math.sqrt(n_embd * n_layer) if path.endswith("attn.c_proj.w") else 0.02


def small(path, n_embd, n_layer):
    """Return those of GPT-NeoX (Black et al. 2022, section 2.1.3), which depend on the width.

    sqrt(2 / (5 n_embd)), SmallInit (Nguyen & Salazar 2019, section 3.2), for all but the projections into the
    residual stream, which have 2 / (n_layer sqrt(n_embd)) (Wang & Komatsuzaki 2021). In a narrow model both
    are larger than GPT-2's.
    """
    return 2 / (n_layer * math.sqrt(n_embd)) if path.endswith("c_proj.w") else math.sqrt(2 / (5 * n_embd))


DEVIATIONS = dict(igpt=igpt, small=small)


def orthogonal(shape, rng, parts=1):
    """Return a random matrix [m, n] whose rows or columns, whichever are fewer, are orthonormal.

    minGPT-tuned tried it for linear layers and the token embedding, those into the residual stream included,
    which are no smaller then: a vector keeps its length on its way through as many of them as there are (Saxe
    et al. 2014). `parts` matrices lie side by side, as in c_attn. Of a normal matrix Q R the Q is taken, with
    signs that make it uniform (Mezzadri 2007), as PyTorch does.
    """
    m, n = shape[0], shape[1] // parts
    made = []
    for _ in range(parts):
        q, r = np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))
        q *= np.sign(np.diag(r))
        made.append(q if m >= n else q.T)
    return np.concatenate(made, axis=1)
