"""Where a text ends: at a stop token, or before a stop string."""


def until(pieces, stops):
    """Yield the text of `pieces` up to the first of the strings `stops`, which itself is left out.

    Text that may be the beginning of a stop string is held back until the next piece decides it.

    >>> list(until(["Hello ", "wor", "ld!\\n", "\\nMore"], ["\\n\\n"]))
    ['Hello ', 'wor', 'ld!']
    """
    held = ""
    try:
        for piece in pieces:
            held += piece
            found = [held.index(stop) for stop in stops if stop in held]
            if found:
                held = held[: min(found)]
                break
            doubtful = max(
                (n for stop in stops for n in range(len(stop)) if held.endswith(stop[:n])), default=0
            )
            safe, held = held[: len(held) - doubtful], held[len(held) - doubtful :]
            if safe:
                yield safe
    except KeyboardInterrupt:  # Ctrl-C while the next piece is computed: no stop will come any more
        yield held
        raise
    if held:
        yield held


def stop_at(encoder, stop_ids=(), stops=()):
    """Return a `finished` for `stream`: whether new ids end in one of `stop_ids`, or their text has a stop.

    A stop string of n bytes that the last token completes began at most n - 1 tokens before it.
    """
    window = max((len(stop.encode()) for stop in stops), default=1)

    def finished(ids):
        return ids[-1] in stop_ids or any(stop in encoder.decode(ids[-window:]) for stop in stops)

    return finished
