"""Teach a model of stories to do as it is told, on examples made from the stories themselves.

usage: python -m picogpt.projects.talk FILE [flags]

FILE has stories, with a line of <|endoftext|> between them, as tools/data/stories.py writes them. Each makes
an example, of one of three kinds, which take turns; only the answer is learned, and its end:

    Write a story with these words: kite, windy, tree.    the story
    Write a story that ends so: They were happy again.    the story
    (the story) Who is in this story?                     Tim and Sue.

The words are what the story is about: those that it has more often than other stories do. The names are
those that occur in it more than once. In the end the model writes stories with words of the held-out stories,
as does the one it was made from: how many of the words that were asked for are in them?

{flags}

Then `python -m picogpt "Write a story with these words: dog, cake, rain." --model runs/talk` has it write.
"""

import functools
import itertools
import math
import re
from collections import Counter
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.finetune import cli as finetune
from picogpt.finetune import examples, tuning
from picogpt.generate import GREEDY, generate
from picogpt.params.tree import tree_map
from picogpt.system import flags
from picogpt.text import data
from picogpt.text.stop import stop_at
from picogpt.train import runs, trainer
from picogpt.train.settings import Recipe

ABOUT = 5  # words of a story that may be asked for: the first of topics
KINDS = ("words", "words", "ending", "names")  # whose turn it is
ASKED = {
    "words": "Write a story with these words: {}.\n",
    "ending": "Write a story that ends so: {}\n",
    "names": "{}\nWho is in this story?\n",
}
WORD = re.compile(r"\b[a-z]{3,}\b")
NOT_NAMES = "I Mr Mrs Dr The One Once They He She It But So And Mom Dad Mommy Daddy Then When"


def talk(
    file: Annotated[flags.File, "stories, with lines of <|endoftext|> between them"],
    *,
    model: tuning.Model = "tales",
    out: flags.Out = "runs/talk",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    n_words: Annotated[flags.Count, "words that a story is asked to have"] = 3,
    n_test: Annotated[flags.Count, "stories that are written in the end, by each model"] = 50,
    steps: flags.Steps = 600,
    batch_size: Annotated[flags.BatchSize, "examples in a batch"] = 8,
    lr: flags.LearningRate = 5e-4,
    warmup: flags.Warmup = 20,
    dropout: flags.Dropout = 0.0,
    val_share: flags.ValShare = 0.02425186,
    eval_every: flags.EvalEvery = 100,
    seed: tuning.Seed = 1337,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
):
    """Train as the docstring of this module says; these are the command's flags."""
    run = runs.open_run(talk, locals())
    params, hparams, encoder = weights.load_with_encoder(model)
    run.settings["model_sha256"] = tuning.fingerprint(params)
    base, n_head = tree_map(np.copy, params), hparams["n_head"]
    texts = [list(data.documents(part)) for part in data.split(run.text, val_share)]
    if not all(texts):
        raise ValueError(f"{file} has too few stories: some to learn from, and some to hold out")
    rarity = rarities(texts[0])
    pairs, held_out = (make(part, rarity, n_words, np.random.default_rng([seed, 4])) for part in texts)
    prompts = [prompt for prompt, _ in held_out if prompt.startswith(ASKED["words"][:20])][:n_test]
    if not prompts:
        raise ValueError(
            f"{file} has no story held out with {n_words} of its rarer words, to be asked for in the end:"
            " give more stories, fewer --n_words or a larger --val_share"
        )
    rows, test_rows = (examples.encode(part, encoder, hparams["n_ctx"]) for part in (pairs, held_out))

    def look(step):
        if step % eval_every or step == steps:
            return {}
        return dict(val_loss=finetune.mean_loss(params, test_rows, n_head, batch_size))

    results = {"held-out loss before": finetune.mean_loss(params, test_rows, n_head, batch_size)}
    c = Recipe(steps=steps, lr=lr, min_lr=lr / 10, warmup=warmup, dropout=dropout)
    draw = functools.partial(examples.random_batch, rows, batch_size)
    runs.train(run, runs.start(run, params, c), c, draw, trainer.language_model(n_head, run.comm), look)
    results["held-out loss after"] = finetune.mean_loss(params, test_rows, n_head, batch_size)
    weights.save(run.folder, params, hparams, encoder)
    for when, its in (("before", base), ("after", params)):
        told = [write(its, n_head, encoder, prompt) for prompt in prompts]
        there = [has(text, w) for p, text in zip(prompts, told, strict=True) for w in words_of(p)]
        results[f"words asked for that are in the story, {when}"] = f"{sum(there)}/{len(there)}"
    results["sample"] = prompts[0] + told[0]
    runs.finish(run, results, {})


def rarities(texts):
    """Return log(N / n) for each word that n of the N stories have, more than one and not all.

    Source: the inverse document frequency of Sparck Jones, 1972.
    """
    found = Counter(word for text in texts for word in set(WORD.findall(text)))
    return {word: math.log(len(texts) / n) for word, n in found.items() if 1 < n < len(texts)}


def topics(text, rarity):
    """Return the words of a story, first those that are often here and rare elsewhere."""
    often = Counter(word for word in WORD.findall(text) if word in rarity)
    return sorted(often, key=lambda word: (-often[word] * rarity[word], word))


def make(texts, rarity, n_words, rng):
    """Return an example, (prompt, answer), of each story that has what the kind whose turn it is needs."""
    turns = zip(itertools.cycle(KINDS), texts)
    return list(filter(None, (EXAMPLES[kind](text, rarity, n_words, rng) for kind, text in turns)))


def example_of_words(text, rarity, n_words, rng):
    """Return the example whose answer is a story with some words, or None."""
    about = topics(text, rarity)[: max(ABOUT, n_words)]
    if len(about) < n_words:
        return None
    return ASKED["words"].format(", ".join(rng.choice(about, n_words, replace=False))), text


def example_of_ending(text, rarity, n_words, rng):
    """Return the example whose answer is a story with a given last sentence, or None."""
    last = re.findall(r"[A-Z][^.!?\"]+[.!?]", text)[-1:]
    return (ASKED["ending"].format(last[0]), text) if last and text.endswith(last[0]) else None


def example_of_names(text, rarity, n_words, rng):
    """Return the example whose answer is who is in a story, or None."""
    who = names(text)
    return (ASKED["names"].format(text), " and ".join(who) + ".") if who else None


EXAMPLES = dict(words=example_of_words, ending=example_of_ending, names=example_of_names)


def names(text):
    """Return the names in a story, in the order in which they come: capitalised within sentences, too.

    >>> names("Tim saw Sue. Then Sue and Tim ran. Sue was glad, and Tim too.")
    ['Tim', 'Sue']
    """
    inside = Counter(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))
    found = [word for word in re.findall(r"\b[A-Z][a-z]+\b", text) if word in inside]
    often = Counter(found)
    return [word for word in dict.fromkeys(found) if often[word] > 1 and word not in NOT_NAMES.split()]


def words_of(prompt):
    """Return the words that a prompt asks for."""
    return prompt.split(": ")[1].rstrip(".\n").split(", ")


def has(text, word):
    """Return whether a word is in a text, perhaps with an ending: dogs is dog.

    >>> has("The dogs ran.", "dog"), has("A hotdog.", "dog")
    (True, False)
    """
    return re.search(rf"\b{word}(s|es|d|ed|ing|y)?\b", text.lower()) is not None


def write(params, n_head, encoder, prompt):
    """Return what the model answers, greedily, up to the end that it sets or the end of its context."""
    ids = [encoder.start, *encoder.encode(prompt)]
    room = len(params["wpe"]) - len(ids)
    [new] = generate(params, n_head, [ids], room, GREEDY, stop_at(encoder, [encoder.start]))
    return encoder.decode([i for i in new if i != encoder.start])


if __name__ == "__main__":
    runs.main(talk)
