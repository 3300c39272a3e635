"""Examples of what to write after what: prompts and completions, of which only the latter are learned.

A file of them has one JSON object a line: {"prompt", "completion"} or {"instruction", "input", "output"}. A
template puts the prompt between markers, by which the model will know what is asked of it.
"""

import json
import logging
import string

import numpy as np

from picogpt.text.data import read_text

log = logging.getLogger("picogpt")
TEMPLATES = {
    "plain": "{prompt}",
    "article": "--- Article ---\n{prompt}\n--- Summary ---\n",
    "label": "--- Text ---\n{prompt}\n--- Label ---\n",
    "instruction": "--- Instruction ---\n{instruction}\n--- Input ---\n{input}\n--- Response ---\n",
    "instruction alone": "--- Instruction ---\n{instruction}\n--- Response ---\n",
}


def read_records(path, *keys):
    """Return {number of the line: the JSON object in it} of a file; each must have `keys`."""
    records = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise ValueError(f"{path} has in line {number} no JSON object: one a line is needed") from None
        if lacking := [key for key in keys if key not in record]:
            raise ValueError(f"{path} has in line {number} no {lacking[0]!r}, but {', '.join(record)}")
        records[number] = record
    if not records:
        raise ValueError(f"{path} has no lines: give one JSON object a line")
    return records


def fill(record, template="plain"):
    """Return (prompt, completion) of a record. `template` is a name in TEMPLATES, or itself a template.

    >>> fill({"prompt": "Not half bad.", "completion": "good"}, "label")
    ('--- Text ---\\nNot half bad.\\n--- Label ---\\n', 'good')
    >>> fill({"instruction": "Name a king.", "input": "", "output": "Lear"})
    ('--- Instruction ---\\nName a king.\\n--- Response ---\\n', 'Lear')
    """
    if "instruction" in record and template == "plain":
        template = "instruction" if record.get("input") else "instruction alone"
    template = TEMPLATES.get(template, template)
    needed = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    if lacking := needed - record.keys():
        raise ValueError(f"the template asks for {min(lacking)!r}, but an example has {', '.join(record)}")
    for key in ("completion", "output"):
        if key in record:
            for name in {key, *needed}:
                if not isinstance(record[name], str | int | float):
                    raise ValueError(f"an example has {record[name]!r:.60} as its {name}: a text is needed")
            return template.format_map(record), str(record[key])
    raise ValueError(f"an example needs a completion or an output, but has {', '.join(record)}")


def encode(pairs, encoder, n_ctx):
    """Return (ids, n_prompt) of each (prompt, completion); what does not fit into n_ctx is left out.

    The ids are the start of a document, the prompt, the completion, and the token by which the model says
    that it is done: <|endoftext|>, or for characters a newline. n_prompt counts the ids that are not
    learned.
    """
    rows, end = [], encoder.start if encoder.eot is None else encoder.eot
    for prompt, completion in pairs:
        asked = [encoder.start, *encoder.encode(prompt, template=False)]
        ids = [*asked, *encoder.encode(completion, template=False), end]
        if len(ids) <= n_ctx + 1:
            rows.append((ids, len(asked)))
    if n_long := len(pairs) - len(rows):
        log.warning("%d of %d examples have more than %d tokens: left out", n_long, len(pairs), n_ctx)
    if not rows:
        raise ValueError(f"no example is as short as the {n_ctx} tokens of the model's context")
    return rows


def windows(ids, n_ctx):
    """Cut a text into rows of n_ctx tokens to read, each with the one that comes next; all are learned.

    >>> windows(np.arange(7), 4)
    [([0, 1, 2, 3, 4], 1), ([4, 5, 6], 1)]
    """
    rows = [(ids[i : i + n_ctx + 1].tolist(), 1) for i in range(0, len(ids) - 1, n_ctx)]
    if not rows:
        raise ValueError(f"{len(ids)} tokens are too few to learn from or to test: give a longer file")
    return rows


def batch(rows):
    """Lay rows side by side, filled up at the right -> ids, targets [B, T]; -1 at prompts and filling.

    >>> batch([([5, 6, 7, 8], 2), ([9, 3], 1)])
    (array([[5, 6, 7],
           [9, 0, 0]]), array([[-1,  7,  8],
           [ 3, -1, -1]]))
    """
    T = max(len(ids) for ids, _ in rows) - 1
    inputs, targets = np.zeros((len(rows), T), int), np.full((len(rows), T), -1)
    for b, (ids, n_prompt) in enumerate(rows):
        inputs[b, : len(ids) - 1] = ids[:-1]
        targets[b, n_prompt - 1 : len(ids) - 1] = ids[n_prompt:]
    return inputs, targets


def random_batch(rows, batch_size, rng):
    """Draw that many rows -> ids, targets [B, T]."""
    return batch([rows[i] for i in rng.integers(len(rows), size=batch_size)])
