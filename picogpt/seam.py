"""Where GPT-2 ends and its descendants begin; if you read GPT-2 alone, read past `@overridable`.

The signature of a part of the model, say `self_attention(x, c_attn, c_proj, n_head, ...)`, lists the arrays
that GPT-2 has there. The tree of a descendant has more arrays in that place, and they arrive as keyword
arguments that GPT-2's function does not know. Then descendants/parts.py computes the part, with the function
of the same name. The operation layer_norm is such a part, too: gpt2.py makes it one, and ops.py knows
nothing of it.
"""

import functools
import importlib
import inspect

DESCENDANTS = {}  # {name of a part: the function that computes it with more arrays}


def overridable(part):
    """Let a descendant of GPT-2 compute `part`, if it is called with arrays that GPT-2 does not have."""
    known = inspect.signature(part).parameters.keys()

    @functools.wraps(part)
    def gpt2s_or_descendants(*args, **arrays):
        if arrays.keys() <= known:
            return part(*args, **arrays)
        importlib.import_module("picogpt.descendants.parts")  # fills DESCENDANTS when it is first needed
        return DESCENDANTS[part.__name__](*args, **arrays)

    return gpt2s_or_descendants


def overrides(part):
    """Register a function as the descendants' way to compute the part of the same name."""
    DESCENDANTS[part.__name__] = part
    return part
