"""Fine-tune a model to label texts, and count how often it is right where it has not seen the labels.

usage: python -m picogpt.finetune.classify [FILE] [--test FILE] [--lora RANK | --adapters N | --train NAMES]
       python -m picogpt.finetune.classify --predict TEXT [--out FOLDER]

A head on the last token's state gives a score to each label. The model is trained with it, on the labels and,
as GPT-1 was, on predicting the text besides. Leaves in FOLDER the model, head.safetensors, log.jsonl, and
result.json with the accuracy, beside that of the commonest label and of naive Bayes on words.

{flags}

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

import collections
import functools
import math
import re
from pathlib import Path
from typing import Annotated

import numpy as np

from picogpt.checkpoints import weights
from picogpt.finetune import classifier, examples, tuning
from picogpt.finetune import predict as prediction
from picogpt.params.tree import tree_map
from picogpt.system import command, flags, machine
from picogpt.system.signature import CALL, FREE, Section, Usual
from picogpt.train import runs

TEST = runs.DATA / "two_authors_test.jsonl"
PROTOCOL = "passages of books that no training passage is from"
PUBLISHED = {  # by LLMs-from-scratch, in the additional experiments of its chapter 6
    "accuracy": "not to be compared: 124M, spam or not, 0.95 by its last block, 0.9667 by LoRA"
}


def classify(
    file: Annotated[
        flags.File,
        'examples, one a line: {"text", "label"}, of which one is right, or {"text", "labels"}, a list of any'
        " of them",
        Usual("tests/data/two_authors_train.jsonl: Baum or Nesbit?"),
    ] = str(runs.DATA / "two_authors_train.jsonl"),
    *,
    test: Annotated[
        str, FREE, "FILE", "what to be tested on", Usual(f"tests/data/{TEST.name}, from other books")
    ] = str(TEST),
    model: tuning.Model = "tales",
    out: flags.Out = "runs/classify",
    resume: flags.Resume = False,
    overwrite: flags.Overwrite = False,
    predict: Annotated[
        str | None,
        CALL,
        "TEXT",
        "train nothing: label TEXT, or with - each line of stdin, by what was trained in FOLDER; a line has"
        " the labels and their probabilities, the likeliest first",
    ] = None,
    special: flags.Special = False,
    train: Annotated[
        str | None,
        Section("what is trained, always with the head"),
        "NAMES",
        'arrays whose names match: "blocks.3.*,ln_f.*"; "head.*": only the head (all; with LoRA or adapters'
        " none but these)",
    ] = None,
    lora: tuning.Lora = 0,
    lora_on: tuning.LoraOn = tuning.MATRICES,
    adapters: tuning.Adapters = 0,
    lm_weight: Annotated[
        flags.Real, Section("the training"), "weight of the text's own loss ({}, GPT-1's)"
    ] = 0.5,
    epochs: Annotated[flags.Count, "passes over FILE, each in an order of its own ({}, GPT-1's)"] = 3,
    batch_size: Annotated[flags.BatchSize, "texts in a batch"] = 16,
    lr: tuning.Rate = None,
    warmup: flags.Warmup = 5,
    schedule: tuning.Schedule = "cosine",
    min_lr: tuning.LowestRate = None,
    dropout: Annotated[flags.Dropout, "also on what the head sees ({}, GPT-1's)"] = 0.1,
    seed: tuning.Seed = 1337,
    processes: flags.Processes = 1,
    threads: flags.Threads = 0,
):
    """Train as the docstring of this module says; these are the command's flags."""
    if predict is not None:
        command.check(classify, locals())
        machine.set_threads(threads)
        prediction.predict(predict, out, special)
        return
    run = runs.open_run(classify, locals())
    tuning.check_flags(run.settings)
    params, hparams, encoder = weights.load_with_encoder(model, special=special)
    run.settings["model_sha256"] = tuning.fingerprint(params)
    texts, names, labels, multi = read(file)
    test_texts, _, test_labels, _ = read(test, names, multi)
    rows, test_rows = (encode(some, encoder, hparams["n_ctx"]) for some in (texts, test_texts))
    rng, n_head = np.random.default_rng(seed), hparams["n_head"]
    params[tuning.HEAD] = classifier.init_head(hparams["n_embd"], len(names), rng)
    params, hparams, trained = tuning.begin(params, hparams, rng, train, lora, lora_on, adapters)
    results = tuning.trained_share(params, trained)
    results["commonest label"] = accuracy(commonest(labels, len(test_labels)), test_labels)
    if not multi:
        results["naive Bayes"] = accuracy(naive_bayes(texts, labels, test_texts), test_labels)

    c = tuning.recipe(run.settings, epochs * math.ceil(len(rows) / batch_size))
    state = runs.start(run, trained, c)

    def draw(rng):  # the trainer's, which is for what has no epochs
        return batch_at(state["step"], rows, labels, batch_size, seed)

    gradients = tuning.gradients_of(params, functools.partial(gradients_of, n_head, lm_weight, run.comm))
    runs.train(run, state, c, draw, gradients)
    tuning.save(run.folder, params, hparams, encoder, trained, model)
    classifier.save_head(run.folder, params[tuning.HEAD], names, multi)
    scores = classifier.score(params, test_rows, n_head, batch_size)
    results["accuracy"] = accuracy(chosen(scores, multi), test_labels)
    if multi:
        results["all labels right"] = accuracy((chosen(scores, multi) == test_labels).all(axis=1), True)
    if Path(test).resolve() == TEST.resolve():
        results["protocol"] = PROTOCOL
    runs.finish(run, results, PUBLISHED)


def read(file, names=None, multi=None):
    """Return the texts of a file, the names of all labels, the labels of each text, and if any may be right.

    The labels are ids [N], or zeros and ones [N, K]. A file to be tested on has the `names`, and the kind,
    `multi`, of the one trained on.
    """
    records = examples.read_records(file)
    multi = "labels" in next(iter(records.values())) if multi is None else multi
    wanted = "labels (a list of texts or whole numbers)" if multi else "a label (a text or a whole number)"
    for number, record in records.items():
        if not is_example(record, multi):
            raise ValueError(f"{file} has in line {number} no example of a text and {wanted}: {record}")
    given = [record["labels"] if multi else [record["label"]] for record in records.values()]
    known = sorted({name for some in given for name in some}, key=str)
    names = names or known
    if not names:
        raise ValueError(f"{file} has no label at all: give some of its texts labels")
    if new := [name for name in known if name not in names]:
        raise ValueError(
            f"{file} has the label {new[0]!r}, but those trained on are {', '.join(map(str, names))}"
        )
    table = np.array([[name in some for name in names] for some in given], np.float32)  # [N, K]
    texts = [record["text"] for record in records.values()]
    return texts, names, table if multi else table.argmax(axis=1), multi


def is_example(record, multi):
    """Return whether a record has a text and, as texts or whole numbers, a label or a list of labels."""
    text, names = record.get("text"), record.get("labels") if multi else [record.get("label")]
    has_text = isinstance(text, str) and bool(text.strip())
    return has_text and isinstance(names, list) and all(isinstance(name, str | int) for name in names)


def encode(texts, encoder, n_ctx):
    """Return the ids of each text after the one that begins a document; a long text loses its end."""
    return [[encoder.start, *encoder.encode(text, template=False)][:n_ctx] for text in texts]


def batch_at(step, rows, labels, batch_size, seed):
    """Return the batch of a step, rows of ids and their labels: each epoch has every text once.

    Its order follows from seed and epoch alone, so a run may resume within an epoch. The last batch may be
    smaller.
    """
    epoch, n = divmod(step, math.ceil(len(rows) / batch_size))
    order = np.random.default_rng([seed, 3, epoch]).permutation(len(rows))  # 1 and 2 are the trainer's
    some = order[n * batch_size : (n + 1) * batch_size]
    return [rows[i] for i in some], labels[some]


def gradients_of(n_head, lm_weight, comm, params, batch, p_drop, rng):
    """Return the loss of a batch and its gradients, in the order of arguments that the trainer has.

    Of several processes each returns its summands, from every size-th text: the labels' loss is a mean over
    texts, the text's own one over tokens.
    """
    if comm.size == 1:
        return classifier.loss_and_grads(params, batch, n_head, lm_weight, p_drop, rng)
    rng = np.random.default_rng(rng.integers(2**63, size=comm.size)[comm.rank])
    rows, labels = (some[comm.rank :: comm.size] for some in batch)
    if not rows:
        return 0.0, tree_map(np.zeros_like, params)
    share = len(rows) / len(batch[0])
    of_tokens = sum(len(row) - 1 for row in rows) / max(1, sum(len(row) - 1 for row in batch[0]))
    lm_weight = lm_weight * of_tokens / share
    loss, grads = classifier.loss_and_grads(params, (rows, labels), n_head, lm_weight, p_drop, rng)
    return loss * share, tree_map(lambda g: np.multiply(g, share, out=g), grads)


def chosen(scores, multi):
    """Return the labels that the scores [N, K] speak for: ids [N], or zeros and ones [N, K]."""
    return (scores > 0).astype(scores.dtype) if multi else scores.argmax(axis=1)


def commonest(labels, n):
    """Return, for n texts, what is right most often: the label, or for each label whether it is there."""
    best = np.bincount(labels).argmax() if labels.ndim == 1 else labels.mean(axis=0).round()
    return np.stack([best] * n)


def accuracy(found, labels):
    """Return the share of labels that are right; of several for each text all are counted."""
    return float((found == labels).mean())


def naive_bayes(texts, labels, test_texts):
    """Return the likeliest label [N] of each test text, if words came independently of each other.

    ln p(label) + the sum of ln p(word | label) over its words, each counted once more than it was seen.
    """
    counts = [collections.Counter() for _ in range(labels.max() + 1)]
    for label, text in zip(labels, texts, strict=True):
        counts[label].update(words(text))
    known = set().union(*counts)
    scores = np.log(np.bincount(labels) / len(labels)) + np.zeros((len(test_texts), 1))  # [N, K]
    for n, text in enumerate(test_texts):
        for word in filter(known.__contains__, words(text)):
            scores[n] += np.log([(count[word] + 1) / (count.total() + len(known)) for count in counts])
    return scores.argmax(axis=1)


def words(text):
    """Return the words of a text, in small letters."""
    return re.findall(r"\w+", text.lower())


if __name__ == "__main__":
    runs.main(classify)
