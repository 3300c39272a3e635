"""Write what a model has made: as it arises, several texts one after the other, or lines of JSON."""

import contextlib
import json
import sys

from picogpt.system import progress
from picogpt.text.data import END
from picogpt.text.stop import until


def pieces(ids, encoder, stop, plain):
    """Yield the text of the ids as it arises; on a terminal, an empty line where a document ends in it."""
    for piece in until(encoder.stream(i for i in ids if i is not None), stop):
        yield piece if plain or not sys.stdout.isatty() else piece.replace(END, "\n\n")


def write_one(prompt, steps, encoder, stop, n, plain):
    """Write one continuation while it arises. On a terminal, notes wait until it is complete."""
    to_terminal, bar = sys.stdout.isatty(), contextlib.nullcontext(steps)
    if sys.stderr.isatty() and not to_terminal:
        bar = progress.bar(steps, "generating", n, leave=False)
    with notes_afterwards() if to_terminal else contextlib.nullcontext():
        try:
            print(prompt if to_terminal else "", end="", flush=True)
            with bar as shown:
                for piece in pieces((i for [i] in shown), encoder, stop, plain):
                    print(piece, end="", flush=True)
        finally:
            print(flush=True)


@contextlib.contextmanager
def notes_afterwards():
    """Hold back what is logged until the block has ended, to keep it out of the middle of a text."""
    import logging.handlers  # which brings sockets, for its other handlers

    root = logging.getLogger()
    handlers = root.handlers
    held = logging.handlers.MemoryHandler(capacity=100, target=handlers[0])
    try:
        root.handlers = [held]
        yield
    finally:
        root.handlers = handlers
        held.close()


def write_all(prompt, steps, encoder, stop, n, n_samples, plain):
    """Write several continuations when all are done, or what there is of them after an interrupt."""
    taken = []
    try:
        for step in progress.bar(steps, "generating", n, leave=False):
            taken.append(step)
    finally:
        for b in range(n_samples):
            print(f"--- sample {b + 1} of {n_samples}", file=sys.stderr, flush=True)
            text = "".join(pieces([step[b] for step in taken], encoder, stop, plain))
            print(prompt + text if sys.stdout.isatty() else text, flush=True)


def write_json(steps, log_probs, encoder, stop, ends, n_samples):
    """Write a line of JSON for each sample when all are done, or for what there is after an interrupt."""
    taken = []
    try:
        taken.extend(steps)
    finally:
        for b in range(n_samples):
            own = [(step[b], numbers[b]) for step, numbers in zip(taken, log_probs, strict=False)]
            ids, numbers = [i for i, _ in own if i is not None], [x for i, x in own if i is not None]
            print(as_json(ids, encoder, stop, ends, log_probs=numbers), flush=True)


def as_json(ids, encoder, stop, ends, **numbers):
    """Return a line that says what was made, its text, and why it ended; the end id belongs to the ids."""
    shown = [i for i in ids if i not in ends]
    whole = encoder.decode(shown)
    text = "".join(until([whole], stop))
    ended = "stop" if text != whole else "end" if len(shown) < len(ids) else "length"
    return json.dumps(dict(ids=ids, text=text, **numbers, ended=ended), ensure_ascii=False)


def write_beams(prompt, found, encoder, stop, ends, n, plain, as_lines):
    """Write the best beams, each with its score; several, or as JSON, each for itself."""
    for b, (ids, score) in enumerate(found):
        if as_lines:
            print(as_json(ids, encoder, stop, ends, score=score), flush=True)
            continue
        if len(found) > 1:
            print(f"--- beam {b + 1} of {len(found)}, score {score:.4f}", file=sys.stderr, flush=True)
        text = "".join(pieces([i for i in ids if i not in ends], encoder, stop, plain))
        print(prompt + text if sys.stdout.isatty() else text, flush=True)
