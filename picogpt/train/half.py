"""Mixed precision: matrix products in float16, all else in float32 (Micikevicius et al. 2018).

A graphics processor multiplies matrices of float16 several times as fast as those of float32. But 16 bits
have 11 digits and nothing between 6e-8 and 0, or above 65504. So the weights stay in float32, and take steps
that float16 would round away; norms, softmax and the loss are computed in float32; and the loss is scaled up
before the backward pass, or small gradients would be 0. All of that is what `Half` and `LossScale` do.

On a CPU, NumPy gains nothing by it: its products of float16 are plain loops. See docs/speed.md.
"""

import math

import numpy as np

from picogpt.grad import loss_and_grads
from picogpt.params.tree import tree_map, walk

LARGEST, GROWS_AFTER, SMALLEST = 2.0**16, 2000, 2.0**-24  # as in torch.amp.GradScaler; and a limit


class Half(np.lib.mixins.NDArrayOperatorsMixin):
    """A float32 array that multiplies as a matrix in float16, and does all else as the `array` that it holds.

    That may be NumPy's, CuPy's, or another one that answers NumPy's functions. What comes of it is of this
    kind too: so a model whose parameters are computes all of its products in float16.
    """

    __array_priority__ = 1000  # before CuPy's, of which `cupy_array * half` asks

    def __init__(self, array):
        self.array = array

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **how):
        inputs = [bare(a) for a in inputs]
        if ufunc is np.matmul:
            a, b = (x.astype(np.float16) for x in inputs)
            return Half((a @ b).astype(np.float32))
        if out is not None:
            how["out"] = tuple(bare(a) for a in out)
        return half(getattr(ufunc, method)(*inputs, **how))

    def __array_function__(self, function, types, args, how):
        if function is np.asarray:  # np.asarray(a, like=self)
            return half(function(*args, like=self.array))
        args = [[bare(a) for a in arg] if isinstance(arg, (list, tuple)) else bare(arg) for arg in args]
        return half(function(*args, **{name: bare(a) for name, a in how.items()}))

    def __getitem__(self, index):
        return half(self.array[bare(index)])

    def __setitem__(self, index, value):
        self.array[bare(index)] = bare(value)

    def __len__(self):
        return len(self.array)

    def __float__(self):
        return float(self.array)

    def __getattr__(self, name):
        found = getattr(self.array, name)
        return (lambda *args, **how: half(found(*args, **how))) if callable(found) else half(found)


def half(found):
    """Return a Half of what an array of float32 has given, if that is such an array; else what it is."""
    return Half(found) if getattr(found, "dtype", None) == np.float32 else found


def bare(a):
    """Return the array that a Half holds; of a tuple, such as an index, those of its parts; else `a`."""
    if isinstance(a, tuple):
        return tuple(bare(part) for part in a)
    return a.array if isinstance(a, Half) else a


class LossScale:
    """The factor of the loss: it halves when a gradient overflows, and doubles after many that do not.

    So it stays as large as the gradients allow, without a setting (Micikevicius et al. 2018, section 3.2).
    `state` {"scale", "good"}, of numbers, is all that it depends on; a training saves it.
    """

    def __init__(self, state=None):
        self.state = dict(scale=LARGEST, good=0) if state is None else state

    @property
    def scale(self):
        """The factor for the next gradients."""
        return self.state["scale"]

    def note(self, finite):
        """Note whether the gradients of a loss times `scale` were finite."""
        self.state["good"] = self.state["good"] + 1 if finite else 0
        if not finite:
            self.state["scale"] /= 2
        elif self.state["good"] == GROWS_AFTER:
            self.state |= dict(scale=2 * self.scale, good=0)


def gradients(n_head, scale, generator=np.random.default_rng):
    """Return the `gradients` that `trainer.updates` takes: see there, and `half_loss_and_grads`."""

    def of_batch(params, batch, p_drop, rng):
        seed = int(rng.integers(2**63)) if np.any(p_drop) else 0
        return half_loss_and_grads(params, *batch, n_head, scale, p_drop, lambda: generator(seed))

    return of_batch


def half_loss_and_grads(params, ids, targets, n_head, scale, p_drop=0.0, draws=lambda: None):
    """Do as `grad.loss_and_grads`, with products in float16 and the loss scaled; all results in float32.

    scale: a LossScale, of which the next call takes the same one; draws() -> the same random generator each
    time, for dropout. If a gradient overflows, the batch is computed again with half the scale, so no update
    is left out. One that overflows at any scale is returned as it is.
    """
    halves = tree_map(Half, params)
    while True:
        factor = scale.scale
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is noticed below
            loss, grads = loss_and_grads(halves, ids, targets, n_head, p_drop, draws(), scale=factor)
            grads = tree_map(bare, grads)
            for _, g in walk(grads):
                g *= 1 / factor
        finite = all(float(abs(g).max()) < math.inf for _, g in walk(grads) if g.size)  # nor is NaN less
        scale.note(finite)
        if finite or factor <= SMALLEST:
            return float(loss) / factor, grads
