"""What bench.py found: the arithmetic, and the tables, the file of numbers and the picture made of it."""

import json
from pathlib import Path

import numpy as np

from picogpt.system.files import atomic_write

HEADER = ["work", "unit", "ours", "", "peer", "", "ratio", "rounds", "goal", ""]


def in_unit(unit, measured, work):
    """Return what was measured, seconds or bytes, in the unit of the table, for `work` done in each.

    >>> [in_unit(unit, 0.5, work=10) for unit in ("s", "ms", "tokens/s")]
    [0.05, 50.0, 20.0]
    """
    if unit == "MB":
        return measured / 1e6
    return work / measured if unit.endswith("/s") else measured / work * {"s": 1, "ms": 1000}[unit]


def row(title, unit, ours, peer, theirs, goal, work=(1, 1), name="picogpt"):
    """Return one comparison; `ours` and `theirs` were measured in the same rounds.

    Of a time less is better, of a speed more: the ratio says how many times as fast we are. Of memory it
    says how many times as much we need, and the goal is the most that is allowed.

    >>> found = row("x", "ms", [0.010, 0.012, 0.011], "peer", [0.022, 0.022, 0.033], goal=2.5)
    >>> found["ours"], found["theirs"], round(found["ratio"], 6), found["met"]
    (11.0, 22.0, 2.0, False)
    """
    ours = np.array([in_unit(unit, x, work[0]) for x in ours])
    theirs = np.array([in_unit(unit, x, work[1]) for x in theirs])
    upside_down = unit in ("s", "ms")
    low, high = np.percentile(theirs / ours if upside_down else ours / theirs, [25, 75])
    ours, theirs = np.median(ours), np.median(theirs)
    ratio = theirs / ours if upside_down else ours / theirs
    met = None if goal is None else bool(ratio <= goal if unit == "MB" else ratio >= goal)
    numbers = dict(ours=ours, theirs=theirs, ratio=ratio, low=low, high=high)
    numbers = {key: float(number) for key, number in numbers.items()}
    return dict(work=title, unit=unit, name=name, peer=peer, goal=goal, met=met, **numbers)


def slope(points):
    """Return the power with which y grows with x, fitted to {x: y} on logarithmic axes; None for one point.

    >>> round(slope({1: 5.0, 10: 500.0, 100: 50_000.0}), 6)
    2.0
    """
    x, y = np.log(list(points)), np.log(list(points.values()))
    return float(np.polyfit(x, y, 1)[0]) if len(points) > 1 else None


def matrix_weights(hparams):
    """Return how many weights the matrices of all blocks have, and those of the head."""
    return 12 * hparams["n_embd"] ** 2 * hparams["n_layer"], hparams["n_embd"] * hparams["n_vocab"]


def prefill_flops(hparams, n_rows, length):
    """Return the multiplications and additions of a prefill, less attention's masked half.

    Every token goes through every matrix of the blocks, the last one of each row through the head too. That
    is what the formulas say: what an engine saves in the last block counts in its favour.

    >>> prefill_flops(dict(n_vocab=5, n_ctx=9, n_embd=2, n_head=1, n_layer=1), n_rows=1, length=3)
    356
    """
    blocks, head = matrix_weights(hparams)
    pairs = length * (length + 1) // 2  # of a query and a key that it may see
    attention = 2 * hparams["n_embd"] * hparams["n_layer"] * pairs  # q k^T and probs v
    return 2 * n_rows * (blocks * length + attention + head)


def number(x):
    """Return a number with three digits that count.

    >>> number(0.05), number(38.46), number(1903.2), number(None)
    ('0.05', '38.5', '1903', '')
    """
    if x is None:
        return ""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def cells(row):
    """Return a row of the table as strings, in the order of HEADER."""
    goal = "" if row["goal"] is None else f"{'<=' if row['unit'] == 'MB' else '>='} {number(row['goal'])}"
    met = {None: "", True: "met", False: "missed"}[row["met"]]
    rounds = f"{row['low']:.2f} .. {row['high']:.2f}"
    ours, theirs, ratio = number(row["ours"]), number(row["theirs"]), f"{row['ratio']:.2f}"
    return [row["work"], row["unit"], row["name"], ours, row["peer"], theirs, ratio, rounds, goal, met]


def growth_cells(what, curve):
    """Return a row of the table of growth as strings."""
    points = ", ".join(f"{number(y)} at {x:,}" for x, y in curve["points"].items())
    return [what, curve["unit"], points, "" if curve["slope"] is None else f"{curve['slope']:.2f}"]


GROWTH_HEADER = ["growth with", "unit", "time", "power"]


def columns(header, rows):
    """Return a table for a terminal: columns of equal width, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        for line in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def pipes(header, rows):
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text(results, table=columns):
    """Return all that a reader wants to see; `table` makes a table of a header and rows."""
    parts = [table(HEADER, [cells(row) for row in results["rows"]])] if results["rows"] else []
    if results["growth"]:
        curves = [growth_cells(what, curve) for what, curve in results["growth"].items()]
        parts.append(table(GROWTH_HEADER, curves))
    if results["limits"]:
        limits = ", ".join(f"{what} {number(value)}" for what, value in results["limits"].items())
        parts.append(f"Limits measured in the same process: {limits}.")
    parts += results["notes"]
    if results["quick"]:
        parts.insert(
            0, "A quick run, of tiny models: what they compute was compared; the times mean nothing."
        )
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    threads = f"{machine['threads']} threads on {machine['cores']} cores of {machine['cpu']}"
    system = f"{machine['system']}, huge pages: {machine['huge_pages']}"
    parts.append(f"{results['rounds']} rounds; {threads}; {system}; {machine['blas']}, {versions}.")
    return "\n\n".join(parts)


def write(results, json_path="", markdown_path="", plot_path=""):
    """Write the files that are asked for."""
    contents = {json_path: json.dumps(results, indent=1), markdown_path: text(results, pipes)}
    for path, content in contents.items():
        if path:
            with atomic_write(path) as file:
                file.write(content.encode() + b"\n")
    if plot_path:
        with atomic_write(plot_path) as file:
            draw(results).savefig(file, format=Path(plot_path).suffix[1:], dpi=110)


COLOURS = {True: "#1f77b4", False: "#d95f02", None: "#777777"}  # which the colour-blind tell apart too
TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]


def draw(results):
    """Return a figure of the table's ratios and the growth, side by side; either may be missing."""
    from matplotlib.figure import Figure  # needs no screen

    rows, curves = results["rows"], results["growth"]
    widths = [9] * bool(rows) + [3.6] * bool(curves)
    height = max(1.4 + 0.28 * len(rows), 2.3 * len(curves))
    figure = Figure(figsize=(sum(widths), height), layout="constrained")
    parts = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
    if rows:
        draw_ratios(parts[0].subplots(), rows)
    if curves:
        places = parts[-1].subplots(len(curves), squeeze=False)[:, 0]
        for axes, (what, curve) in zip(places, curves.items(), strict=True):
            draw_growth(axes, what, curve)
    return figure


def draw_ratios(axes, rows):
    """Draw a dot for each ratio, a band for the middle half of the rounds and a stroke for the goal."""
    for y, row in enumerate(rows):
        colour = COLOURS[row["met"]]
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=6, alpha=0.35)
        axes.plot(row["ratio"], y, "o", color=colour, markersize=5)
        if row["goal"] is not None:
            axes.plot(row["goal"], y, "|", color="black", markersize=13)
        axes.text(
            1.01, y, f"{row['ratio']:.2f}", transform=axes.get_yaxis_transform(), va="center", color=colour
        )
    less = {"MB": ", less is better"}
    labels = [f"{row['work']} : {row['peer']}{less.get(row['unit'], '')}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [x for x in TICKS if low <= x <= high]
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="#bbbbbb", linewidth=1.5, zorder=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("picogpt : peer, ratio of medians; the band holds half of the rounds")
    for met, words in {True: "goal met", False: "missed", None: "no goal"}.items():
        axes.plot([], [], "o", color=COLOURS[met], label=words)
    axes.plot([], [], "|", color="black", markersize=10, label="goal")
    axes.figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)


def draw_growth(axes, what, curve):
    """Draw what was measured as dots and the fitted power as a line; power 1 is the frame's diagonal."""
    x, y = np.array(list(curve["points"])), np.array(list(curve["points"].values()))
    title = what
    if curve["slope"] is not None:
        fitted = np.exp(np.log(y).mean()) * (x / np.exp(np.log(x).mean())) ** curve["slope"]
        axes.loglog(x, fitted, color=COLOURS[None], linewidth=1)
        title = f"{what}: power {curve['slope']:.2f}"
    axes.loglog(x, y, "o", color=COLOURS[True], markersize=4)
    axes.minorticks_off()
    axes.set_xticks(x, [f"{n:,}" if n < 10**6 else f"{n / 10**6:.0f}M" for n in x])
    reach = 1.3 * max(x.max() / x.min(), y.max() / y.min()) ** 0.5  # from the middle either way
    for limit, values in ((axes.set_xlim, x), (axes.set_ylim, y)):
        middle = (values.max() * values.min()) ** 0.5
        limit(middle / reach, middle * reach)
    apart = abs(np.log(y[-1] / y[0])) > 0.12 * np.log(reach)
    ticks = y[[0, -1]] if apart else y[:1]
    axes.set_yticks(ticks, [number(n) for n in ticks])
    axes.set_title(title, fontsize=9)
    axes.set_ylabel(curve["unit"], fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.2)
