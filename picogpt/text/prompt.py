"""The prompt of a command: as given or from stdin, and its ids."""

import sys

from picogpt.system import command
from picogpt.text.data import from_utf8


def read_prompt(prompt):
    """Return the prompt as given, or from stdin."""
    if prompt is None and sys.stdin and sys.stdin.isatty():
        command.usage_error('PROMPT is missing; an empty one, "", begins a new text')
    if prompt is None or prompt == "-":
        content = b"" if sys.stdin is None else sys.stdin.buffer.read()
        prompt = from_utf8(content, "stdin").removesuffix("\n").removesuffix("\r")
    if wrong := [char for char in prompt if "\ud800" <= char <= "\udfff"]:  # how Python passes other bytes on
        raise ValueError(f"the prompt is not UTF-8 text: it has {wrong[0]!r} in it; convert it")
    return prompt


def prompt_ids(prompt, encoder, n_ctx, truncate):
    """Return the ids that the model starts from; for an empty prompt those that begin a document."""
    ids = encoder.encode(prompt) or [encoder.start]
    if len(ids) > n_ctx and not truncate:
        raise ValueError(
            f"the prompt has {len(ids)} tokens and this model's context {n_ctx}: --truncate keeps the newest"
        )
    return ids[-n_ctx:]
