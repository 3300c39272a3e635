"""The rungs of verify.py that need no weights: operations, model and tokenizer, on random numbers and texts.

One table, `operations`, serves three of them: what each operation takes and makes, and the gradients that
grad.py finds. All is in float64, so that what differs is the formula and not the rounding.
"""

import json
import sys
from pathlib import Path

import numpy as np
from formats import state_dict

from picogpt import gpt2, grad, ops
from picogpt.checkpoints import huggingface, weights
from picogpt.descendants import erf
from picogpt.params.shapes import param_shapes
from picogpt.params.tree import flatten, nest, walk
from picogpt.text import bpe
from verify.report import equal, skipped, within

TESTS = Path(__file__).parents[2] / "tests"
sys.path += [str(TESTS), str(TESTS / "helpers")]  # what the tests compare with, and what they record
from compare import gradient_error, relative_error

B, T, S, C, H, D, V = 2, 7, 9, 12, 3, 4, 17  # all different, so that no axis can be taken for another
TINY = dict(n_vocab=V, n_ctx=11, n_embd=C, n_head=H, n_layer=2)
NANOGPT = dict(bias=False, tied=False, gelu="erf")
LAYERS = ("attention layer", "feed-forward layer", "block")
FORMULA, STEPS = 1e-9, 1e-6  # bounds of a relative error: of a formula, and by steps of finite length
EXACT_GELU = 2e-6  # and with the approximation in erf.py
BY_STEPS = "finite differences, float64"


def gradients(subject):
    """A gradient says how much the loss rises when a number grows a little.

    So the numbers are made to grow a little, and the rise is measured: for every operation, for the parts of
    the model, and for all weights of whole models.
    """
    errors = {
        name: {f"{name}: {path}": error for path, error in derivative_errors(*operation).items()}
        for name, operation in operations().items()
    }
    exact = errors.pop("exact gelu")
    layers = [errors.pop(name) for name in LAYERS]
    yield within(f"{len(errors)} operations", BY_STEPS, merge(errors.values()), STEPS)
    yield within("the exact gelu", BY_STEPS, exact, EXACT_GELU)
    yield within(f"{len(layers)} parts of the model", BY_STEPS, merge(layers), STEPS)
    yield within("every weight of a small GPT-2", BY_STEPS, derivative_errors(*whole_model({})), STEPS)
    errors = derivative_errors(*whole_model(NANOGPT))
    yield within("every weight of a small nanoGPT", BY_STEPS, errors, EXACT_GELU)


def against_pytorch(subject):
    """PyTorch is another program that computes such models, and finds gradients by itself.

    On the same random weights it must find the same numbers: of each operation, and of whole models.
    """
    import torch

    theirs, ours = torch_operations(torch), operations()
    values, errors = {}, {}
    for name in theirs:
        f, took, dy, grads = ours[name]
        y, their_grads = differentiate_in_torch(torch, theirs[name], took, dy, grads)
        values[name] = relative_error(f(**took), y)
        errors[name] = {f"{name}: {key}": relative_error(dx, their_grads[key]) for key, dx in walk(grads)}
    exact = {"exact gelu": values.pop("exact gelu")} | errors.pop("exact gelu")
    yield within(f"{len(values)} operations", "PyTorch's functions", values, FORMULA)
    yield within("their gradients", "PyTorch's autograd", merge(errors.values()), FORMULA)
    yield within("the exact gelu, and its gradient", "PyTorch's", exact, EXACT_GELU)
    for kind, options, bound in (("GPT-2", {}, FORMULA), ("nanoGPT", NANOGPT, EXACT_GELU)):
        params, ids, targets = random_model(options)
        ours = gpt2.gpt2(ids, params, H), *grad.loss_and_grads(params, ids, targets, H)
        errors = model_errors(*ours, *torch_model(torch, params, ids, targets, options))
        yield within(f"{kind}: logits, loss, gradients", "a model of PyTorch's modules", errors, bound)


def against_jax(subject):
    """JAX differentiates programs.

    Of the forward half of picogpt itself, it finds the gradients that the backward half, which was written by
    hand, ought to find.
    """
    import jax  # noqa: F401
    from record import jax_gradients

    errors = {}
    for name, (f, took, dy, grads) in operations().items():
        if name != "exact gelu":
            leaves = {path: leaf for path, leaf in flatten(took).items() if path in flatten(grads)}
            total = weighted_sum(f, took, dy)
            _, theirs = jax_gradients.differentiate(total, leaves)
            errors |= {f"{name}: {key}": relative_error(dx, theirs[key]) for key, dx in walk(grads)}
    yield within("operations and parts of the model", "jax.grad of their forward", errors, FORMULA)
    params, ids, targets = random_model({})
    loss, grads = grad.loss_and_grads(params, ids, targets, H)
    their_loss, theirs = jax_gradients.loss_and_gradients(params, ids, targets, H)
    errors = {"loss": abs(loss - their_loss)}
    errors |= {path: relative_error(dx, flatten(theirs)[path]) for path, dx in walk(grads)}
    yield within("GPT-2: loss and gradients", "jax.grad of our own forward", errors, FORMULA)


def tokenizer(subject):
    """A model reads numbers, not letters.

    The tokenizer must give every text the numbers that OpenAI's gives it, or the model reads something else.
    Strange texts show whether it cuts words at the same places.
    """
    gpt2_encoder = bpe.load_encoder(weights.shipped("gpt2-bpe"))
    encoder = subject.encoder or gpt2_encoder
    of = encoder if encoder.n_vocab == gpt2_encoder.n_vocab else gpt2_encoder
    cases = json.loads((TESTS / "references" / "tokenizer_cases.json").read_text(encoding="utf-8"))
    wrong = [f"{case['text']!r}"[:60] for case in cases if of.encode(case["text"]) != case["ids"]]
    yield equal("published texts to ids", "the ids published with them", len(cases), wrong)
    wrong = [f"{case['text']!r}"[:60] for case in cases if of.decode(case["ids"]) != case["text"]]
    yield equal("and back", "the texts", len(cases), wrong)
    own = None if of is encoder else subject.folder
    if type(encoder) is not bpe.Encoder or (own and not (own / "vocab.bpe").exists()):
        yield skipped("the model's own tokenizer", "it has no merges in a vocab.bpe")
        return
    import tiktoken  # noqa: F401
    from record import bpe as record

    theirs = record.tiktoken_encoding(record.read_merges(own or record.GPT2))
    symbols = record.byte_symbols()
    tokens = {token: bytes(symbols[symbol] for symbol in token) for token in list(encoder.encoder)[:-1]}
    wrong = [
        repr(token) for token, raw in tokens.items() if not is_token(theirs, raw, encoder.encoder[token])
    ]
    yield equal(f"the vocabulary of {subject.name}", "tiktoken's, of the same merges", len(tokens), wrong)
    texts = [*record.HOSTILE, *record.random_texts(1000)]
    wrong = [f"{text!r}"[:60] for text in texts if encoder.encode(text) != theirs.encode_ordinary(text)]
    yield equal("strange and random texts to ids", "tiktoken", len(texts), wrong)


def merge(dicts):
    """Return one dict of several."""
    return {key: value for one in dicts for key, value in one.items()}


def is_token(encoding, raw, i):
    """Return whether tiktoken gives the bytes of a token this id."""
    try:
        return encoding.encode_single_token(raw) == i
    except KeyError:
        return False


# Our side


def operations():
    """Return {name: (f, what it took, dy, the gradients of sum(dy * f) by grad.py)}, each a tree."""
    draw = np.random.default_rng(0).standard_normal
    x, dy, heads = 3 * draw((B, T, C)), draw((B, T, C)), draw((B, H, T, D))
    norm, layer = dict(x=x + 1, g=draw(C), b=draw(C)), dict(x=x, w=draw((C, V)), b=draw(V))
    qkv = dict(q=draw((B, H, T, D)), k=draw((B, H, S, D)), v=draw((B, H, S, D)))
    mask = ops.causal_mask(T, S, float)
    keep, keep_probs = (
        ops.dropout_mask(shape, float, 0.3, np.random.default_rng(1)) for shape in (x.shape, (B, H, T, S))
    )
    targets = np.random.default_rng(2).integers(-1, V, (B, T))
    ids, logits, wte = np.abs(targets), 3 * draw((B, T, V)), draw((V, C))
    dwte = np.zeros_like(wte)
    grad.embedding_backward(dy, ids, dwte)

    def with_params(backward, dy, took):
        dx, grads = backward(dy, **took)
        return dict(x=dx, **grads)

    def attention_grads(mask, keep):
        return dict(zip("qkv", grad.attention_backward(heads, **qkv, mask=mask, keep=keep), strict=True))

    found = {
        "gelu": (ops.gelu, dict(x=x), dy, dict(x=grad.gelu_backward(dy, x))),
        "exact gelu": (erf.gelu_erf, dict(x=x), dy, dict(x=erf.gelu_erf_backward(dy, x))),
        "softmax": (ops.softmax, dict(x=x), dy, dict(x=grad.softmax_backward(dy, ops.softmax(x)))),
        "layer_norm": (ops.layer_norm, norm, dy, with_params(grad.layer_norm_backward, dy, norm)),
        "linear": (ops.linear, layer, logits, with_params(grad.linear_backward, logits, layer)),
        "dropout": (ops.dropout, dict(x=x, keep=keep), dy, dict(x=grad.dropout_backward(dy, keep))),
        "attention": (ops.attention, qkv | dict(mask=mask), heads, attention_grads(mask, None)),
        "attention with dropout": (
            ops.attention, qkv | dict(mask=mask, keep=keep_probs), heads, attention_grads(mask, keep_probs),
        ),
        "embedding": (lambda w: w[ids], dict(w=wte), dy, dict(w=dwte)),
        "cross_entropy": (
            lambda logits: ops.cross_entropy(logits, targets), dict(logits=logits), 2.5,
            dict(logits=grad.cross_entropy_backward(2.5, logits, targets)),
        ),
    }  # fmt: skip
    return found | parts(x, dy)


def parts(x, dy):
    """Return the same of the parts of the model: attention and feed-forward layer, and a block of both."""
    block, mask = random_model({})[0]["blocks"][0], ops.causal_mask(T, T, float)

    def part(forward, backward, params, act, **settings):
        def f(x, **params):
            return forward(x, **params, **settings)

        forward(x, **params, **settings, act=act)
        dx, grads = backward(dy, act, **params, **settings)
        return f, dict(x=x, **params), dy, dict(x=dx, **grads)

    heads = dict(n_head=H, mask=mask)
    return {
        "attention layer": part(
            gpt2.self_attention, grad.self_attention_backward, block["attn"], dict(ln_1=x), **heads
        ),
        "feed-forward layer": part(
            gpt2.feed_forward, grad.feed_forward_backward, block["mlp"], dict(ln_2=x)
        ),
        "block": part(gpt2.transformer_block, grad.transformer_block_backward, block, {}, **heads),
    }  # fmt: skip


def random_model(options):
    """Return (params, ids, targets) of a small model of random numbers, gains and biases too, and a batch."""
    rng = np.random.default_rng(3)

    def draw(path, shape):
        return 0.3 * rng.standard_normal(shape) + path.endswith(".g")

    params = nest({path: draw(path, shape) for path, shape in walk(param_shapes(**TINY | options))})
    ids, targets = rng.integers(0, V, (2, B, T))
    targets[0, 2] = targets[1, 6] = -1
    return params, ids, targets


def whole_model(options):
    """Return a small model as `operations` returns an operation: its loss as a function of all weights."""
    params, ids, targets = random_model(options)
    _, grads = grad.loss_and_grads(params, ids, targets, H)

    def loss(**params):
        return grad.loss_and_grads(params, ids, targets, H)[0]

    return loss, params, 1.0, grads


# Their side


def derivative_errors(f, took, dy, grads):
    """Return {path: error} of each gradient, by finite differences."""
    leaves, total, errors = flatten(took), weighted_sum(f, took, dy), {}
    for path, dx in walk(grads):
        if dx.shape != leaves[path].shape:
            errors[path] = np.inf
        elif dx.size:
            errors[path] = gradient_error(lambda x, path=path: total({path: x}), leaves[path], dx)
    return errors


def weighted_sum(f, took, dy):
    """Return the function of {path: array} that is sum(dy * f(took with these arrays in it))."""
    leaves = flatten(took)
    return lambda some: (dy * f(**nest(leaves | some))).sum()


def torch_operations(torch):
    """Return {name: the same operation, made of PyTorch's functions}."""
    from torch.nn import functional

    targets = torch.from_numpy(np.random.default_rng(2).integers(-1, V, (B, T)))
    return {
        "gelu": lambda x: functional.gelu(x, approximate="tanh"),
        "exact gelu": functional.gelu,
        "softmax": lambda x: functional.softmax(x, dim=-1),
        "layer_norm": lambda x, g, b: functional.layer_norm(x, (C,), g, b, eps=1e-5),
        "linear": lambda x, w, b: functional.linear(x, w.T, b),
        "dropout": lambda x, keep: x * keep,
        "attention": lambda q, k, v, mask: functional.scaled_dot_product_attention(q, k, v, attn_mask=mask),
        "embedding": lambda w: functional.embedding(targets.abs(), w),
        "cross_entropy": lambda logits: functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-1
        ),
    }


def differentiate_in_torch(torch, f, took, dy, grads):
    """Return f's value, and {name: gradient of sum(dy * f)} by autograd."""
    tensors = {name: torch.from_numpy(x).requires_grad_(name in grads) for name, x in took.items()}
    y = f(**tensors)
    y.backward(torch.as_tensor(dy, dtype=torch.float64))
    return y.detach().numpy(), {name: tensors[name].grad.numpy() for name in grads}


def torch_model(torch, params, ids, targets, options):
    """Return the logits, the loss and the gradients, a tree, of a model of PyTorch's modules."""
    from record import gpt

    model = gpt.gpt(**TINY | options).double()
    state = {huggingface.their_name(path): w for path, w in walk(params) if w.size}
    state = {name: torch.from_numpy(w.T if ".h." in name else w) for name, w in state.items()}
    state.setdefault("lm_head.weight", state["transformer.wte.weight"])
    model.load_state_dict(state)
    logits = model(torch.from_numpy(ids))
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=-1
    )
    loss.backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    return logits.detach().numpy(), loss.item(), nest(state_dict.read_state("PyTorch", grads))


def model_errors(logits, loss, grads, their_logits, their_loss, theirs):
    """Return {name: relative error} of a model's logits, of its loss, and of each gradient."""
    errors = {"logits": relative_error(logits, their_logits), "loss": relative_error(loss, their_loss)}
    theirs = flatten(theirs)
    return errors | {path: relative_error(dx, theirs[path]) for path, dx in walk(grads) if dx.size}
