"""Have the texts of models judged by a reader who does not know whose they are.

usage: python tools/docs/reading.py samples PROMPTS MODEL [OTHER] [--out FOLDER] [flags]
       python tools/docs/reading.py table [--out FOLDER]

`samples` lets one model or two continue each line of the file PROMPTS, greedily and at a temperature, up to
an <|endoftext|>, each with the penalties that its generation_config.json asks for. It writes into FOLDER:
samples.md, all texts in random order, under numbers; key.json, which text is whose and not for the reader;
and marks.csv, for 1 or 0 after each number:

  grammatical   the sentences are right
  follows       they follow from one another
  same          names and things stay the same
  ends          it ends as a story

`table` counts the marks of each model, as Markdown.

  --out FOLDER      (runs/reading)
  --n N             tokens to add at most (150)
  --temperature X   (0.7)
  --seed N          of the texts and of the order (1)

Exit codes: 0 done, 1 error, 2 wrong usage.
"""

import csv
import io
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from picogpt.checkpoints import generation_config as usage
from picogpt.checkpoints import weights
from picogpt.generate import Choice, generate
from picogpt.system import command
from picogpt.system.files import atomic_write
from picogpt.text.data import END
from picogpt.text.stop import stop_at

MARKS = ("grammatical", "follows", "same", "ends")
MODES = ("greedy", "sampled")


def reading(
    what: str,
    prompts: str = "",
    model: str = "",
    other: str = "",
    *,
    out: str = "runs/reading",
    n: int = 150,
    temperature: float = 0.7,
    seed: int = 1,
):
    """Write the samples or print the table, as the docstring of this module says."""
    folder = Path(out)
    if what == "table":
        print(table(json.loads((folder / "key.json").read_text()), read_marks(folder / "marks.csv")), end="")
        return
    if what != "samples" or not prompts or not model:
        command.usage_error("give samples, a file of prompts and one or two models; or table")
    lines = Path(prompts).read_text(encoding="utf-8").splitlines()
    texts = [
        text for name in filter(None, (model, other)) for text in write(name, lines, n, temperature, seed)
    ]
    random.Random(seed).shuffle(texts)
    folder.mkdir(parents=True, exist_ok=True)
    key = {number: {k: text[k] for k in ("model", "mode", "prompt")} for number, text in enumerate(texts, 1)}
    content = {"samples.md": page(texts), "key.json": json.dumps(key, indent=1, ensure_ascii=False) + "\n"}
    content["marks.csv"] = ",".join(("number", *MARKS)) + "\n" + "".join(f"{number},,,,\n" for number in key)
    for name, text in content.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())


def write(model, prompts, n, temperature, seed):
    """Return the model's texts: {model, mode, prompt, text, ended} for each mode and prompt."""
    params, hparams, encoder = weights.load_with_encoder(model)
    ids = [encoder.encode(prompt) for prompt in prompts]
    said, made = usage.read(weights.find(model)), []
    for mode, heat in zip(MODES, (0.0, temperature), strict=True):
        choice = Choice(**usage.choice(said, temperature=heat), seed=seed)
        finished = stop_at(encoder, [encoder.eot])
        for prompt, new in zip(
            prompts, generate(params, hparams["n_head"], ids, n, choice, finished), strict=True
        ):
            text, end, _ = encoder.decode(new).partition(END)
            made.append(dict(model=str(model), mode=mode, prompt=prompt, text=text, ended=bool(end)))
    return made


def page(texts):
    """Return samples.md: each text after its prompt; whether it came to an end is said, as it is marked."""
    parts = []
    for number, made in enumerate(texts, 1):
        after = "[the text ends here]" if made["ended"] else "[cut off here]"
        parts.append(f"## {number}\n\n**{made['prompt']}**{made['text'].rstrip()} {after}\n")
    return "\n".join(parts)


def read_marks(path):
    """Return {number: {mark: 0 or 1}} of marks.csv."""
    marks = {}
    for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
        if any(row[mark] not in ("0", "1") for mark in MARKS):
            raise ValueError(f"{path} has no 0 or 1 for one of the marks of number {row['number']}: add it")
        marks[row["number"]] = {mark: int(row[mark]) for mark in MARKS}
    return marks


def table(key, marks):
    """Return how many texts of each model and mode have each mark."""
    if lacking := key.keys() - marks.keys():
        raise ValueError(f"marks.csv lacks number {min(lacking, key=int)}")
    groups = dict.fromkeys((made["model"], made["mode"]) for _, made in sorted(key.items()))
    lines = [f"| model | choice | texts | {' | '.join(MARKS)} |", "|---" * (3 + len(MARKS)) + "|"]
    for model, mode in sorted(groups):
        numbers = [n for n, made in key.items() if (made["model"], made["mode"]) == (model, mode)]
        sums = [str(sum(marks[n][mark] for n in numbers)) for mark in MARKS]
        lines.append(f"| {model} | {mode} | {len(numbers)} | {' | '.join(sums)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command.run(reading, name="reading")
