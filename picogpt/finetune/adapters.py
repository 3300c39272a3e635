"""Adapters: narrow feed-forward layers put into a trained model, and trained in place of its own weights.

One follows attention and one the feed-forward layer, in each block, before their output is added to the
residual stream (Houlsby et al. 2019, figure 2):

    y = x + c_proj gelu(c_fc x)         x [.., C], inside [.., n], n far below C

They stand in the tree as `attn.adapter` and `mlp.adapter`; `parts.add_adapter` is the forward,
`parts.add_adapter_backward` the backward pass, and hparams.json says "adapter": n.
"""

from picogpt.params.checks import check_hparams
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, nest


def insert(params, hparams, n, rng, std=0.01):
    """Return the model with adapters of n channels, and its hparams; the other arrays are shared.

    The matrices are so small at first that y is almost x (section 3.6 there).
    """
    if hparams.get("adapter"):
        raise ValueError("the model has adapters already: train these, with --train '*.adapter.*'")
    hparams, flat = hparams | dict(adapter=n), flatten(params)
    check_hparams(hparams)

    def draw(path, shape):
        spread = 0 if path.endswith(".b") else std
        return (spread * rng.standard_normal(shape)).astype(flat["wte"].dtype)

    shapes = flatten(param_shapes(**hparams))
    with_adapters = {path: flat[path] if path in flat else draw(path, shapes[path]) for path in shapes}
    return nest(with_adapters | flat), hparams
