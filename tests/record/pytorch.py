"""Record what PyTorch and Hugging Face say of every operation, of a tiny GPT-2 and of its training.

    pip install -e ".[reference]"
    python tests/record/pytorch.py

It imports nothing of picogpt, and names parameters as picogpt does. All is in float64, except for one of
the trainings. tests/references/pytorch.npz holds the arrays under dotted names: "tiny.grads.wte".
"""

import re
import sys
from pathlib import Path

import numpy as np

RECORD = Path(__file__).parents[1] / "references" / "pytorch.npz"
TINY = dict(vocab_size=17, n_positions=11, n_embd=12, n_head=3, n_layer=2)


def gpt2_path(name):
    """Return where the parameter that Hugging Face calls `name` is in picogpt's tree.

    transformer.h.0.mlp.c_fc.weight -> blocks.0.mlp.c_fc.w: [in, out] in both. Norms have .g for .weight.
    """
    path = name.removeprefix("transformer.")
    path = re.sub(r"^h\.", "blocks.", path)
    path = re.sub(r"^(wte|wpe)\.weight$", r"\1", path)
    path = re.sub(r"(ln_\w)\.weight$", r"\1.g", path)
    return re.sub(r"\.weight$", ".w", path).replace(".bias", ".b")


def hugging_face(params=None, **config):
    """Return Hugging Face's GPT2LMHeadModel of that configuration, in evaluation mode.

    `params` are {path: array}; the model's parameters become views of these arrays, in their dtype.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(**config, bos_token_id=None, eos_token_id=None, attn_implementation="eager")
    )
    for name, parameter in model.named_parameters() if params else ():
        assert parameter.shape == params[gpt2_path(name)].shape, name
        parameter.data = torch.from_numpy(params[gpt2_path(name)])
    return model.eval()


def by_path(model, of=lambda parameter: parameter.data):
    """Return {path: array} of a model's parameters, or of their gradients."""
    return {gpt2_path(name): of(parameter).numpy().copy() for name, parameter in model.named_parameters()}


def loss_of(model, ids, targets):
    """Return the mean cross-entropy of the targets that are not -1."""
    import torch

    logits = model(torch.from_numpy(ids)).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=-1
    )


def loss_and_gradients(model, ids, targets):
    """Return the loss and {path: gradient} by autograd."""
    model.zero_grad()
    loss = loss_of(model, ids, targets)
    loss.backward()
    return loss.item(), by_path(model, lambda parameter: parameter.grad)


def differentiate(f, rng, **took):
    """Return {name: array} of what `f` took and made, y, of a random dy, and of the gradients by autograd."""
    import torch

    tensors = {name: torch.from_numpy(array).requires_grad_() for name, array in took.items()}
    y = f(**tensors)
    dy = torch.from_numpy(rng.standard_normal(tuple(y.shape)))
    y.backward(dy)
    made = dict(y=y.detach().numpy(), dy=dy.numpy())
    return took | made | {f"d{name}": tensor.grad.numpy() for name, tensor in tensors.items()}


def operations(rng):
    """Return what PyTorch makes of seeded inputs, for each operation."""
    from torch.nn import functional
    from torch.nn.attention.bias import causal_lower_right

    draw = rng.standard_normal
    targets = np.array([[3, -1, 16], [0, -1, 5]])

    def tanh_gelu(x):
        return functional.gelu(x, approximate="tanh")

    def layer_norm(x, g, b):
        return functional.layer_norm(x, (12,), g, b, eps=1e-5)

    def causal(q, k, v):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    def lower_right(q, k, v):
        mask = causal_lower_right(3, 7)._materialize(device="cpu")
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def cross_entropy(logits):
        import torch

        return functional.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=-1
        )

    x = np.concatenate([3 * draw((2, 3, 5)), [[[-10, -1e-3, 0, 2.7, 10]] * 3]])
    rows = (draw((2, 3, 12)) + 2) * [[[1], [10], [1e-3]]]  # in the last ones the variance is less than eps
    return dict(
        gelu=differentiate(tanh_gelu, rng, x=x),
        softmax=differentiate(lambda x: functional.softmax(x, dim=-1), rng, x=3 * draw((2, 3, 5))),
        layer_norm=differentiate(layer_norm, rng, x=rows, g=draw(12), b=draw(12)),
        linear=differentiate(lambda x, w, b: x @ w + b, rng, x=draw((2, 3, 5)), w=draw((5, 7)), b=draw(7)),
        attention=differentiate(causal, rng, **{name: draw((2, 3, 7, 4)) for name in "qkv"}),
        attention_with_past=differentiate(
            lower_right, rng, q=draw((2, 3, 3, 4)), k=draw((2, 3, 7, 4)), v=draw((2, 3, 7, 4))
        ),
        cross_entropy=differentiate(cross_entropy, rng, logits=3 * draw((2, 3, 17))) | dict(targets=targets),
    )


def tiny_params(rng):
    """Return {path: array} of the tiny model in float32, gains and biases random too."""

    def draw(path, shape):
        scale = 0.2 if path.endswith((".b", ".g")) else 0.3
        return (scale * rng.standard_normal(shape) + path.endswith(".g")).astype(np.float32)

    return {path: draw(path, array.shape) for path, array in by_path(hugging_face(**TINY)).items()}


def tiny_batch(rng):
    """Return random ids and targets [2, 7], two of which are -1."""
    ids, targets = rng.integers(0, 17, (2, 2, 7))
    targets[0, 2] = targets[1, 6] = -1
    return ids, targets


def in_float64(params):
    return {path: array.astype(np.float64) for path, array in params.items()}


def tiny(rng, params):
    """Return the tiny model's parameters, and Hugging Face's logits, loss and gradients."""
    import torch

    ids, targets = tiny_batch(rng)
    model = hugging_face(in_float64(params), **TINY)
    loss, grads = loss_and_gradients(model, ids, targets)
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)).logits.numpy()
    batch = dict(n_head=TINY["n_head"], ids=ids, targets=targets)
    return dict(params=params, **batch, logits=logits, loss=loss, grads=grads)


def continuations(rng, params):
    """Return how Hugging Face goes on, greedily, from prompts of one length and of unequal lengths."""
    import torch

    model = hugging_face(in_float64(params), **TINY)
    prompts = torch.from_numpy(rng.integers(0, 17, (2, 4)))
    whole = model.generate(prompts, max_new_tokens=7, do_sample=False, pad_token_id=0)

    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]])
    ragged = torch.from_numpy(rng.integers(0, 17, (3, 5))) * mask
    settings = dict(max_new_tokens=6, do_sample=False, pad_token_id=0)
    ragged_whole = model.generate(ragged, attention_mask=mask, **settings)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = model(ragged, attention_mask=mask, position_ids=positions).logits
    return dict(
        prompts=prompts.numpy(),
        new=whole[:, 4:].numpy(),
        ragged=ragged.numpy(),
        ragged_pad=np.array([0, 2, 4]),
        ragged_logits=logits.numpy(),
        ragged_new=ragged_whole[:, 5:].numpy(),
    )


def training(rng, params, max_norm):
    """Return the losses and gradient norms of ten steps of AdamW, each with its own batch, and the end."""
    import torch

    model = hugging_face({path: array.copy() for path, array in params.items()}, **TINY)
    weights = list(model.parameters())
    groups = [
        dict(params=[w for w in weights if w.ndim > 1], weight_decay=0.1),
        dict(params=[w for w in weights if w.ndim == 1], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    batches = [tiny_batch(rng) for _ in range(10)]
    losses, norms = [], []
    for ids, targets in batches:
        optimizer.zero_grad()
        loss = loss_of(model, ids, targets)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(weights, max_norm).item())
        optimizer.step()
        losses.append(loss.item())
    ids, targets = map(np.stack, zip(*batches, strict=True))
    return dict(ids=ids, targets=targets, losses=losses, norms=norms, params=by_path(model))


def trainings(params):
    """Return three trainings; some gradients are longer than 2, others are not.

    In float32 the biases of the keys, which change no attention, follow the rounding errors of gradients
    that ought to be 0: the weights at the end differ between machines, and are left out.
    """
    float32 = training(np.random.default_rng(4), params, 2.0)
    del float32["params"]
    return dict(
        unclipped64=training(np.random.default_rng(4), in_float64(params), float("inf")),
        clipped64=training(np.random.default_rng(4), in_float64(params), 2.0),
        clipped32=float32,
    )


def flatten(tree, path=""):
    """Return {dotted name: array} of nested dicts."""
    if not isinstance(tree, dict):
        return {path: np.asarray(tree)}
    return {
        name: leaf for key in tree for name, leaf in flatten(tree[key], f"{path}.{key}".lstrip(".")).items()
    }


def record():
    """Return everything that the record holds, as PyTorch and Hugging Face see it now."""
    params = tiny_params(np.random.default_rng(5))  # of a few seeds, the one with the most varied text
    return flatten(
        dict(
            operations=operations(np.random.default_rng(0)),
            tiny=tiny(np.random.default_rng(2), params),
            continuations=continuations(np.random.default_rng(3), params),
            training=trainings(params),
        )
    )


def versions():
    import torch
    import transformers

    made_with = dict(python=sys.version.split()[0], numpy=np.__version__)
    made_with |= dict(torch=torch.__version__, transformers=transformers.__version__)
    return ", ".join(f"{name} {number}" for name, number in made_with.items())


if __name__ == "__main__":
    np.savez_compressed(RECORD, **record(), versions=versions())
