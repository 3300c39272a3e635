"""Nested dicts and lists of arrays ("trees"): parameters, gradients and optimiser moments are such.

    {"wte": array, "blocks": [{"ln_1": {"g": array, "b": array}}]}

A leaf's path joins the keys that lead to it with dots: "blocks.0.ln_1.g".
"""


def walk(tree, path=""):
    """Yield (path, leaf) for every leaf of `tree`, in the order in which the dicts were filled."""
    if not isinstance(tree, (dict, list)):
        yield path, tree
        return
    for key, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from walk(child, f"{path}.{key}" if path else str(key))


def flatten(tree):
    """Return {path: leaf}, the tree laid flat.

    >>> flatten({"ln_f": {"g": 1, "b": 2}, "blocks": [3, 4]})
    {'ln_f.g': 1, 'ln_f.b': 2, 'blocks.0': 3, 'blocks.1': 4}
    """
    return dict(walk(tree))


def nest(flat):
    """Return the tree whose paths and leaves are `flat`'s: the inverse of `flatten`.

    A dict whose keys are exactly 0, 1, .. n - 1 becomes a list, whatever order they came in.

    >>> nest({"blocks.1": 4, "blocks.0": 3, "wte": 5})
    {'blocks': [3, 4], 'wte': 5}
    """
    if list(flat) == [""]:
        return flat[""]
    children = {}
    for path, leaf in flat.items():
        key, _, rest = path.partition(".")
        children.setdefault(key, {})[rest] = leaf
    tree = {key: nest(child) for key, child in children.items()}
    if set(tree) == {str(i) for i in range(len(tree))}:
        return [tree[str(i)] for i in range(len(tree))]
    return tree


def tree_map(f, tree, *others):
    """Apply `f` to each leaf of `tree` and the leaves at the same place in `others`.

    >>> tree_map(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]})
    {'x': [11, 22]}
    """
    if isinstance(tree, dict):
        return {key: tree_map(f, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, list):
        return [tree_map(f, *children) for children in zip(tree, *others, strict=True)]
    return f(tree, *others)
