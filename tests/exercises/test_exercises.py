"""The ladder of exercises: no wrong function passes a rung, every right one does, and the messages fit."""

import ast
import types

import numpy as np
import pytest
from processes import run_python

from picogpt.exercises import examine, ladder, lay_out
from picogpt.exercises.lay_out import LADDER, MODULES

OURS = examine.namespace(MODULES)
NOWHERE = "/nowhere"
MISTAKES = [
    pytest.param(rung, *mistake, id=f"{rung.name}-{i}")
    for rung in LADDER.values()
    for i, mistake in enumerate(rung.mistakes)
]

# Right solutions that are not ours in form: {rung: (module, source)}.
RIGHT = dict(
    softmax=("ops", """
def softmax(x):
    e = np.exp(x - np.max(x, -1)[..., None])
    return e / np.sum(e, -1)[..., None]
"""),
    layer_norm=("ops", """
def layer_norm(x, g, b=None, eps=1e-5):
    y = g * (x - np.mean(x, -1, keepdims=True)) / np.sqrt(np.var(x, -1, keepdims=True) + eps)
    return y if b is None else y + b
"""),
    gelu=("ops", """
def gelu(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x - x / (1 + np.exp(2 * u.clip(-40, 40)))
"""),
    linear=("ops", """
def linear(x, w, b=None):
    return x @ w + (0 if b is None else b)
"""),
    mask=("ops", """
def causal_mask(T, S, dtype, pad=None):
    mask = (1 - np.tri(T, S, S - T, dtype=dtype)) * dtype(-1e10)
    if pad is None:
        return mask
    return np.minimum(mask, [[[[-1e10 * (j < n) for j in range(S)]]] for n in pad]).astype(dtype)
"""),
    attention=("ops", """
def attention_probs(q, k, mask=None):
    scores = np.einsum("...td,...sd->...ts", q, k) / math.sqrt(q.shape[-1])
    return softmax(scores if mask is None else scores + mask)

attention_weights = attention_probs

def attention(q, k, v, mask=None, keep=None, time=None):
    return attention_probs(q, k, mask) @ v
"""),
    heads=("gpt2", """
def split_heads(x, n_head):
    return np.stack(np.split(x, n_head, axis=-1), axis=1)

def merge_heads(x):
    return np.concatenate(list(x.swapaxes(0, 1)), axis=-1)
"""),
    block=("gpt2", """
def self_attention(x, c_attn, c_proj, n_head, mask=None, remember=None, act=None, **_):
    q, k, v = (split_heads(part, n_head) for part in np.split(linear(x, **c_attn), 3, axis=-1))
    if remember:
        k, v = remember(k, v)
    return linear(merge_heads(attention(q, k, v, mask)), **c_proj)

def feed_forward(x, c_fc, c_proj, act=None):
    return linear(gelu(linear(x, **c_fc)), **c_proj)

def transformer_block(x, ln_1, attn, ln_2, mlp, n_head, mask=None, remember=None, act=None, **_):
    x = x + self_attention(layer_norm(x, **ln_1), **attn, n_head=n_head, mask=mask, remember=remember)
    return x + feed_forward(layer_norm(x, **ln_2), **mlp)
"""),
    logits=("gpt2", """
def gpt2(ids, params, n_head, cache=None, acts=None, pad=None, n_last=None, p_drop=0.0, rng=None):
    ids = np.array(ids)
    check(ids, params, n_head, cache, pad, p_drop, rng)
    x = np.take(params["wte"], ids, axis=0) + params["wpe"][positions(0, ids.shape[1], pad)]
    mask = causal_mask(ids.shape[1], ids.shape[1], x.dtype.type, pad)
    acts = [] if acts is None else acts
    for block in params["blocks"]:
        acts.append({})
        x = transformer_block(x, **block, n_head=n_head, mask=mask, act=acts[-1])
    acts.append({})
    return (layer_norm(x, **params["ln_f"]) @ params["wte"].T)[:, -(n_last or ids.shape[1]):]
"""),
    cache=("gpt2", """
class KVCache(KVCache):
    def extend(self, layer, k, v):
        old = self.kv[layer][..., : self.length, :]
        new = np.concatenate([old, np.stack([k, v])], axis=-2)
        self.kv[layer][..., : new.shape[-2], :] = new
        return list(new)
"""),
    loss=("ops", """
def cross_entropy(logits, targets):
    total, n = 0, 0
    for row, target in zip(logits.reshape(-1, logits.shape[-1]), targets.ravel()):
        if target >= 0:
            total, n = total + np.log(np.exp(row - row.max()).sum()) + row.max() - row[target], n + 1
    return total / n
"""),
    sampling=("generate", """
def keep_top_k(logits, k):
    if k == 0:
        return logits
    return np.where(logits < np.sort(logits, axis=-1)[..., -k:][..., :1], -np.inf, logits)

def keep_top_p(logits, p, rule="openai"):
    kept = np.full_like(logits, -np.inf)
    for i, row in enumerate(logits):
        total = 0
        for j in np.argsort(-row):
            after = total + softmax(row)[j]
            if total and (total >= p if rule == "hf" else after > p):
                break
            kept[i, j], total = row[j], after
    return kept

def sample(logits, rngs, temperature=1.0, top_k=0, top_p=1.0, top_p_rule="openai"):
    if temperature == 0:
        return np.array([np.argmax(row) for row in logits])
    logits = keep_top_k(logits / temperature, top_k)
    logits = logits if top_p == 1 else keep_top_p(logits, top_p, top_p_rule)
    noise = np.array([rng.gumbel(size=logits.shape[-1]) for rng in rngs])
    return (logits + noise).argmax(axis=-1)
"""),
    gelu_backward=("grad", """
def gelu_backward(dy, x):
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return dy * ((1 + t) / 2 + x / 2 * (1 - t**2) * c * (1 + 3 * 0.044715 * x**2))
"""),
    softmax_backward=("grad", """
def softmax_backward(dy, y):
    jacobian = y[..., None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])
    return (jacobian @ dy[..., None])[..., 0]
"""),
    layer_norm_backward=("grad", """
def layer_norm_backward(dy, x, g, b=None, eps=1e-5):
    C, centred = x.shape[-1], x - x.mean(axis=-1, keepdims=True)
    var = (centred**2).mean(axis=-1, keepdims=True) + eps
    dn = dy * g
    dvar = -0.5 * (dn * centred).sum(axis=-1, keepdims=True) * var**-1.5
    dc = dn / np.sqrt(var) + dvar * 2 * centred / C
    grads = {"g": (dy * centred / np.sqrt(var)).reshape(-1, C).sum(axis=0)}
    if b is not None:
        grads["b"] = dy.reshape(-1, C).sum(axis=0)
    return dc - dc.mean(axis=-1, keepdims=True), grads
"""),
    linear_backward=("grad", """
def linear_backward(dy, x, w, b=None):
    rows, drows = x.reshape(-1, len(w)), dy.reshape(-1, w.shape[1])
    grads = {"w": np.einsum("ri,ro->io", rows, drows)}
    return np.einsum("...o,io->...i", dy, w), grads if b is None else grads | {"b": drows.sum(axis=0)}
"""),
    attention_backward=("grad", """
def attention_backward(dy, q, k, v, mask=None, keep=None, time=None):
    q = q / math.sqrt(q.shape[-1])
    p = softmax(q @ np.moveaxis(k, -1, -2) + (0 if mask is None else mask))
    dp = np.einsum("...td,...sd->...ts", dy, v)
    ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    dk = np.einsum("...ts,...td->...sd", ds, q)
    return ds @ k / math.sqrt(k.shape[-1]), dk, np.einsum("...ts,...td->...sd", p, dy)
"""),
    cross_entropy_backward=("grad", """
def cross_entropy_backward(dloss, logits, targets):
    one_hot = targets[..., None] == np.arange(logits.shape[-1])
    n = int((targets >= 0).sum())
    return np.where(targets[..., None] >= 0, softmax(logits) - one_hot.astype(logits.dtype), 0) / n * dloss
"""),
    embedding_backward=("grad", """
def embedding_backward(dy, ids, dw):
    for i in np.ndindex(ids.shape):
        dw[ids[i]] += dy[i]
"""),
    block_backward=("grad", """
def self_attention_backward(dy, act, c_attn, c_proj, n_head, mask=None):
    d, dc_proj = linear_backward(dy, act["heads"], **c_proj)
    d = attention_backward(split_heads(d, n_head), act["q"], act["k"], act["v"], mask)
    d, dc_attn = linear_backward(np.concatenate(list(map(merge_heads, d)), axis=2), act["ln_1"], **c_attn)
    return d, dict(c_attn=dc_attn, c_proj=dc_proj)

def feed_forward_backward(dy, act, c_fc, c_proj):
    d, dc_proj = linear_backward(dy, act["gelu"], **c_proj)
    d, dc_fc = linear_backward(gelu_backward(d, act["c_fc"]), act["ln_2"], **c_fc)
    return d, dict(c_proj=dc_proj, c_fc=dc_fc)

def transformer_block_backward(dx, act, ln_1, attn, ln_2, mlp, n_head, mask=None):
    grads = {}
    d, grads["mlp"] = feed_forward_backward(dx, act, **mlp)
    d, grads["ln_2"] = layer_norm_backward(d, act["x_mid"], **ln_2)
    dx = d + dx
    d, grads["attn"] = self_attention_backward(dx, act, n_head=n_head, mask=mask, **attn)
    d, grads["ln_1"] = layer_norm_backward(d, act["x"], **ln_1)
    return d + dx, grads
"""),
    gradient=("grad", """
def gpt2_backward(dlogits, ids, params, n_head, acts, dnormed=0):
    last, dwpe = acts[-1], np.zeros_like(params["wpe"])
    dwte = np.einsum("btv,btc->vc", dlogits, last["ln_f"])
    dx, dln_f = layer_norm_backward(dlogits @ params["wte"] + dnormed, last["x"], **params["ln_f"])
    dblocks = [None] * len(params["blocks"])
    for i in range(len(dblocks))[::-1]:
        block = params["blocks"][i]
        dx, dblocks[i] = transformer_block_backward(dx, acts[i], **block, n_head=n_head, mask=last["mask"])
    embedding_backward(dx, ids, dwte)
    for row in dx:
        dwpe[: len(row)] += row
    return dict(blocks=dblocks, ln_f=dln_f, wpe=dwpe, wte=dwte)
"""),
    adamw=("optim", """
def adamw_init(params):
    zeros = lambda: tree_map(lambda w: 0 * w, params)
    return {"v": zeros(), "m": zeros()}

def adamw_step(
    params, grads, moments, step, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, decay="matrices"
):
    flat, grads, m, v = map(flatten, (params, grads, moments["m"], moments["v"]))
    moved = length = 0
    for path, w in flat.items():
        m[path][:] = betas[0] * m[path] + (1 - betas[0]) * grads[path]
        v[path][:] = betas[1] * v[path] + (1 - betas[1]) * grads[path] ** 2
        mean, square = m[path] / (1 - betas[0] ** step), v[path] / (1 - betas[1] ** step)
        change = lr * mean / (np.sqrt(square) + eps)
        w[...] = w - change - lr * weight_decay * w * (1 if DECAYS[decay](path, w) else 0)
        moved, length = moved + (change**2).sum(), length + (w**2).sum()
    return (moved / length) ** 0.5
"""),
    schedule=("optim", """
def learning_rate(step, lr, min_lr, warmup, steps, schedule="cosine"):
    if step < warmup:
        return lr / (warmup + 1) * (step + 1)
    if schedule == "constant":
        return lr
    done = 1 if step >= steps else (step - warmup) / (steps - warmup)
    if schedule == "linear":
        return lr + done * (min_lr - lr)
    wave = (math.cos(math.pi * done) + 1) / 2
    return max(min_lr, wave * lr) if schedule == "floor" else wave * lr + (1 - wave) * min_lr

def clip(grads, max_norm):
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in flatten(grads).values()]))
    for g in flatten(grads).values():
        g *= min(1.0, max_norm / norm) if max_norm else 1
    return norm
"""),
    adder=("gpt2", """
def init_params(hparams, rng, dtype=np.float32):
    flat = {}
    for path, shape in sorted(flatten(param_shapes(**hparams)).items()):
        kind = path.rpartition(".")[2]
        small = (2 * hparams["n_layer"]) ** -0.5 if "c_proj" in path else 1
        draw = dict(g=np.ones, b=np.zeros).get(kind, lambda shape: rng.normal(0, 0.02 * small, shape))
        flat[path] = draw(shape).astype(dtype)
    return nest(flat)
"""),
    sorter=("generate", """
def generate(params, n_head, prompts, n_new, **settings):
    rows = [[] for _ in prompts]
    for step in stream(params, n_head, prompts, n_new, **settings):
        for row, i in zip(rows, step):
            row.extend([i] * (i is not None))
    return rows
"""),
)  # fmt: skip

# Wrong ones of other kinds than the usual mistakes: (rung, module, source, what is said).
WRONG = [
    ("softmax", "ops", "def softmax(x): np.exp(x)", "is None: is there a `return`?"),
    ("softmax", "ops", "def softmax(x):\n    x -= x.max(-1, keepdims=True)\n    e = np.exp(x)\n"
     "    return e / e.sum(-1, keepdims=True)", "x was changed in place"),
    ("softmax", "ops", "def softmax(x): return x[99]", "IndexError"),
    ("softmax", "ops", "def softmax(x):\n    e = np.exp(x - x.max(-1, keepdims=True))\n"
     "    return e / e.sum(-1)", "keepdims=True"),
    ("gelu", "ops", "def gelu(x):\n    u = np.sqrt(2 / np.pi) * (x + 0.044715 * x * x * x)\n"
     "    return x / 2 * (1 + np.tanh(u))", "The numbers are float64 for float32 inputs"),
    ("gelu", "ops", "def gelu(x): return x / (1 + np.exp(-1.7 * x))", "expected"),
    ("linear", "ops", "def linear(x, w, b=None): return np.dot(x, w.T) + (0 if b is None else b)",
     "The weight is transposed"),
    ("mask", "ops", "def causal_mask(T, S, dtype, pad=None): return (1 - np.tri(T, S, S - T)) * -1e10",
     "The mask is float64"),
    ("layer_norm", "ops", "def layer_norm(x, g, b=None, eps=1e-5):\n"
     "    y = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) * g\n"
     "    return y if b is None else y + b", "eps is added outside of the square root"),
    ("loss", "ops", "def cross_entropy(logits, targets):\n"
     "    p = softmax(logits.reshape(-1, logits.shape[-1]))\n"
     "    return -np.log(p[np.arange(len(p)), targets.ravel()]).mean()", "Targets of -1 count"),
    ("gradient", "grad", "def loss_and_grads(*args, **settings): return 1.0",
     "should be 2 things, not one float"),
]  # fmt: skip


def with_source(module, source):
    """Return our functions, some of them replaced by those that `source` defines in a module."""
    names = types.ModuleType(f"picogpt.{module}")
    exec(lay_out.source(module), vars(names))
    exec(source, vars(names))
    return types.SimpleNamespace(**vars(OURS) | vars(names))


def quick(rung):
    """Return a rung without the cases that train a model."""
    return rung._replace(cases=lambda: [case for case in rung.cases() if not case.slow])


def test_the_ladder_climbs_from_softmax_to_a_sorter():
    names = list(LADDER)
    for lower, upper in (
        ("softmax", "attention"),
        ("attention", "block"),
        ("block", "logits"),
        ("logits", "cache"),
    ):
        assert names.index(lower) < names.index(upper)
    assert names[0] == "softmax"
    assert names[-1] == "sorter"
    assert all(len(rung.mistakes) >= 5 for rung in LADDER.values())
    assert set(RIGHT) == set(LADDER)


@pytest.mark.parametrize(("rung", "old", "new", "sentence"), MISTAKES)
def test_a_usual_mistake_fails_and_is_named(rung, old, new, sentence):
    wrong = examine.variant(OURS, rung, old, new)
    assert sentence in examine.problems(quick(rung), wrong, OURS, NOWHERE)


@pytest.mark.parametrize("name", LADDER)
def test_a_right_solution_of_another_form_passes(name):
    assert examine.problems(quick(LADDER[name]), with_source(*RIGHT[name]), OURS, NOWHERE) == []


@pytest.mark.parametrize(("name", "module", "source", "said"), WRONG)
def test_other_wrong_functions_fail_too(name, module, source, said):
    problems = examine.problems(quick(LADDER[name]), with_source(module, source), OURS, NOWHERE)
    assert said in " ".join(problems)


def test_the_complaint_names_the_element():
    source = (
        "def gelu(x):\n    y = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))\n"
    )
    wrong = with_source("ops", source + "    y[1, 2] = 7\n    return y")
    title, said = examine.problems(LADDER["gelu"], wrong, OURS, NOWHERE)
    x = LADDER["gelu"].cases()[0].inputs["x"]
    assert title == "gelu of [3, 4]"
    expected = f"{OURS.gelu(x)[1, 2]:.6g}"
    assert said == f"element [1, 2] of the result is 7, expected {expected} (1 of 12 elements differ)"


def test_the_complaint_has_digits_enough_to_show_a_small_difference():
    said = list(examine.differences(np.array([0.5, 0.25 + 3e-8]), np.array([0.5, 0.25]), 1e-8))
    assert said == ["element [1] of the result is 0.25000003, expected 0.25 (1 of 2 elements differ)"]


def shape_of(node):
    """Return what a definition says without its body: name, arguments, docstring."""
    arguments = ast.dump(node.args) if isinstance(node, ast.FunctionDef) else ""
    return node.name, arguments, ast.get_docstring(node)


@pytest.mark.parametrize("module", MODULES)
def test_a_stub_keeps_all_but_the_bodies_that_are_asked_for(module):
    ours, stub = ast.parse(lay_out.source(module)), ast.parse(lay_out.stub(module))
    assert [type(node) for node in stub.body] == [type(node) for node in ours.body]
    asked = {
        name.partition(".")[2]
        for rung in LADDER.values()
        for name in rung.functions
        if name.startswith(module)
    }
    for mine, node in zip(stub.body, ours.body, strict=True):
        names = {node.name} if isinstance(node, ast.FunctionDef) else set()
        if names & asked:
            assert shape_of(mine) == shape_of(node)
            assert isinstance(mine.body[-1], ast.Raise)
        elif not any(path.startswith(f"{getattr(node, 'name', '')}.") for path in asked):
            assert ast.dump(mine) == ast.dump(node)


@pytest.fixture
def bench(tmp_path):
    """A folder in which the ladder has been laid out."""
    lay_out.start(tmp_path)
    return tmp_path


def write(folder, path, body):
    """Write the body of a function of the reader's."""
    module, _, name = path.partition(".")
    file = folder / "picogpt" / f"{module}.py"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[lay_out.lines_of("".join(lines), name, body_only=True)] = [
        f"    {line}\n" for line in body.splitlines()
    ]
    file.write_text("".join(lines), encoding="utf-8")


def check(folder, name):
    """Return what is wrong with a rung, as one text."""
    [(_, problems)] = ladder.examined(folder, [name])
    return " ".join(problems)


def run(folder, *words):
    """Run the command in a reader's folder, where python -m picogpt finds the reader's files first."""
    return run_python("-m", "picogpt.exercises", *words, folder=folder)


def test_the_ladder_passes_with_the_solutions_and_the_rest_of_picogpt_uses_them(bench):
    for module in MODULES:
        path = bench / "picogpt" / f"{module}.py"
        assert path.read_text(encoding="utf-8") == lay_out.stub(module)
        path.write_text(lay_out.source(module), encoding="utf-8")
    done = run(bench, "check")
    assert done.out.splitlines()[:-1] == [f"{name}: passed" for name in LADDER]
    assert done.code == 0
    write(bench, "ops.softmax", "raise ValueError('this is mine')")
    text = run_python("-m", "picogpt", "Once", "--n", "2", "--temperature", "1", folder=bench)
    assert "this is mine" in text.err


def test_what_is_not_written_is_said_so(bench):
    done = run(bench, "check")
    assert done.code == 1
    assert "softmax is not written yet" in done.out
    status = run(bench, "status").out.splitlines()
    assert len(status) == len(LADDER) + 1
    assert status[-1] == f"0 of {len(LADDER)} rungs are passed"
    assert "not passed" not in "".join(status)
    text = run_python("-m", "picogpt", "Once", "--n", "2", folder=bench)
    assert text.code == 1
    assert text.err.splitlines()[-1] == "picogpt: gpt2 is not written yet"
    assert "Traceback" not in text.err


def test_a_rung_uses_the_readers_functions_of_the_rungs_below(bench):
    for path in LADDER["attention"].functions:
        write(bench, path, lay_out.solution(path).split('"""')[-1].strip("\n").replace("\n    ", "\n")[4:])
    assert check(bench, "attention") == ""
    write(bench, "ops.attention_weights", "return linear(q, k)")
    assert "linear is not written yet" in check(bench, "attention")


def test_an_error_shows_the_readers_line(bench):
    write(bench, "ops.softmax", "y = np.exp(x)\nreturn y / oops")
    assert "ops.py, line " in check(bench, "softmax")
    assert "in softmax: `return y / oops`: NameError: name 'oops' is not defined" in check(bench, "softmax")


def test_a_file_that_is_no_python_is_said_so(bench):
    write(bench, "ops.softmax", "return (")
    assert "ops.py, line " in check(bench, "softmax")
    assert "SyntaxError" in check(bench, "softmax")


def test_a_file_of_a_higher_rung_may_be_broken(bench):
    write(
        bench, "ops.softmax", "e = np.exp(x - x.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True)"
    )
    (bench / "picogpt" / "gpt2.py").write_text("oops(", encoding="utf-8")
    assert check(bench, "softmax") == ""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("while True: pass", "Your code did not end within 1 seconds: it was in ops.py, line "),
        ("import os; os._exit(0)", "Your code ended Python."),
        ("raise SystemExit(0)", "SystemExit"),
        ("return softmax(x)", "RecursionError"),
    ],
)
def test_code_that_does_not_come_back_is_survived(bench, monkeypatch, body, said):
    monkeypatch.setattr(ladder, "LIMIT", 1)
    write(bench, "ops.softmax", body)
    write(bench, "ops.linear", "return x @ w if b is None else x @ w + b")
    (_, softmax), (_, linear) = ladder.examined(bench, ["softmax", "linear"])
    assert said in " ".join(softmax)
    assert linear == []


def test_what_the_reader_prints_is_not_taken_for_the_report(bench):
    write(bench, "ops.softmax", "print('[]', flush=True)\nreturn x")
    done = run(bench, "check", "softmax")
    assert "softmax: not passed" in done.out
    assert "[]" in done.err


def test_hints_and_solutions(tmp_path):
    assert "Subtract the row's largest score" in " ".join(run(tmp_path, "hint", "softmax").out.split())
    shown = run(tmp_path, "hint", "heads", "--solution").out
    assert "def split_heads" in shown
    assert "def merge_heads" in shown
    assert all(function in lay_out.RUNG_OF for rung in LADDER.values() for function in rung.functions)
    assert all(lay_out.solution(function) for rung in LADDER.values() for function in rung.functions)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["start"], 2, "start needs a folder"),
        (["hint"], 2, "hint needs the name of a rung"),
        (["climb"], 2, "'climb' is none of start, check, hint, status"),
        (["check", "sofmax"], 2, "there is no rung 'sofmax'"),
        (["check", "--solution"], 2, "--solution goes with hint"),
        (["check"], 1, "has no files to check: begin with start DIR"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path, words, code, said):
    done = run(tmp_path, *words)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err


def test_files_that_are_there_are_not_overwritten(bench):
    with pytest.raises(ValueError, match="is there already"):
        lay_out.start(bench)


def test_the_published_values_are_ours():
    for rung in LADDER.values():
        for case in rung.cases():
            if isinstance(case.expected, np.ndarray):
                found = examine.outcome(case, OURS, np.float64)
                assert examine.complaint(found, case.expected, case, np.float64, NOWHERE) == []
