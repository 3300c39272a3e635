"""The rungs of verify.py that need a model's weights: its files, its texts, its numbers.

What others have published of a model is in a folder of goldens, see tests/references/published/README.md:

    golden_greedy.json    texts that it writes, each with its prompt, ids, source and confidence
    golden_numbers.json   losses, log-probabilities, logits and the like; llmc_batch.json: ids for losses
    golden_files.json     {model: {file: [bytes, sha256]}}; OpenAI's are in checkpoints/released.py
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from picogpt.checkpoints import bundle, released, weights
from picogpt.checkpoints.bundle import masked_crc32c
from picogpt.checkpoints.download import file_sha256
from picogpt.evaluate.scoring import rolling_log_probs, score
from picogpt.generate import generate
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import cross_entropy
from picogpt.params.shapes import HUGGING_FACE_NAMES, SIZES
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.system.files import n_bytes
from picogpt.train.optim import adamw_init, adamw_step, clip
from verify.report import equal, failed, skipped, within

TESTS = Path(__file__).parents[2] / "tests"
OPENAI_INDEX = TESTS / "data" / "gpt2-124M" / released.INDEX  # the published one
GREEDY = ("greedy", 'greedy until "."')  # the modes of golden_greedy.json that ask for nothing else
ROWS = 8  # of a batch
FLOAT32 = 2e-4  # how close logits of about 100 come in float32; some are published with a closer bound


def find_subject(model, models_dir="models", goldens=None):
    """Return what the rungs climb with: a model's name, folder, params, hparams, encoder, and its goldens.

    A released model that is not there, or only in part, is not fetched; of one that cannot be loaded `params`
    is None too, and `absent` says why. What is no model is a ValueError.
    """
    name = HUGGING_FACE_NAMES.get(Path(model).resolve().name, Path(model).resolve().name)
    subject = SimpleNamespace(name=name, folder=None, params=None, hparams=None, encoder=None, absent=None)
    subject.goldens = read_goldens(name, goldens)
    try:
        subject.folder = weights.find(model, models_dir, offline=True)
    except FileNotFoundError:
        fetch = f"python -m picogpt '' --n 0 --model {model}"
        subject.absent = f"{model} is not in {models_dir}: {fetch} fetches it"
        return subject
    try:
        subject.params, subject.hparams, subject.encoder = weights.load(subject.folder)
    except (ValueError, OSError) as error:
        subject.absent = f"the model cannot be loaded: {error}"
    return subject


def read_goldens(name, folder=None):
    """Return {file: its content} of what is known of a model: in `folder`, or in tests/references."""
    own = TESTS / "references" / name
    known = own if own.is_dir() else own.with_name("published")
    folder = Path(folder) if folder else known
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: --goldens is a folder with golden_greedy.json and the like"
        )
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def read_json(path):
    """Return what is in a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): correct it, or give other --goldens") from None


# Rung 5


def checkpoint_bytes(subject):
    """The checksums of the files on the disk, and of what was read from them, are those that were published.

    Not a bit has changed on the way from the model's maker to this machine, and from the file into memory.
    """
    if subject.folder is None:
        yield skipped("files", subject.absent)
        return
    known = known_files(subject)
    there = {name: facts for name, facts in known.items() if (subject.folder / name).exists() and facts[1]}
    if there:
        wrong = [name for name, facts in there.items() if facts != file_facts(subject.folder / name)]
        yield equal("files", "their known sha256", len(there), wrong)
    else:
        yield skipped("files", f"no sha256 of a file of {subject.name} is known")
    if subject.params is None:
        yield failed("the model", "", subject.absent)
        return
    index = Path(f"{bundle.find_prefix(subject.folder)}.index")
    index = OPENAI_INDEX if subject.name == "124M" and not index.exists() else index
    if index.exists():
        entries = bundle.read_index(index)[1]
        tensors = weights.to_checkpoint_names(flatten(subject.params))
        wrong = [name for name in entries | tensors if not has_crc(name, entries, tensors)]
        yield equal("tensors in memory", "the crc32c of each in the index", len(entries | tensors), wrong)
    else:
        yield skipped("tensors", "there is no index of a TensorFlow checkpoint that has their crc32c")


def known_files(subject):
    """Return {file: (bytes, sha256)} of what is published of a model's files."""
    if subject.name in SIZES:
        source = "hf" if weights.is_hugging_faces(subject.folder) else "openai"
        return released.published(subject.name, source)[2]
    files = subject.goldens.get("golden_files", {}).get(subject.name, {})
    return {name: tuple(facts) for name, facts in files.items()}


def file_facts(path):
    """Return (bytes, sha256) of a file."""
    return n_bytes(path), file_sha256(path)


def has_crc(name, entries, tensors):
    """Return whether a tensor is in both, and its bytes have the crc32c of its entry in the index."""
    return name in entries and name in tensors and masked_crc32c(tensors[name]) == entries[name][-1]


# Rung 6


def greedy_text(subject):
    """Others have published what the model writes when it always takes the likeliest token.

    Nearly all numbers of the model take part in each choice: for the same text they, and what is done with
    them, have to be right.
    """
    entries = [entry for entry in subject.goldens.get("golden_greedy", ()) if entry["model"] == subject.name]
    why = subject.absent or ("the model has no tokenizer" if subject.encoder is None else None)
    if why or not entries:
        yield skipped("texts", why or f"no greedy text of {subject.name} is recorded")
        return
    by = entries[0].get("by", "the published ones")
    plain = [entry for entry in entries if entry["mode"] in GREEDY]
    gating, near = [], []
    for entry in plain:
        (near if entry["confidence"] == "low" else gating).append(entry)
    prompts = {entry["prompt"]: entry["prompt_ids"] for entry in plain if entry["prompt"]}
    wrong = [repr(prompt) for prompt, ids in prompts.items() if subject.encoder.encode(prompt) != ids]
    yield equal("prompts to ids", by, len(prompts), wrong)
    alone = {entry["id"]: continuations(subject, [entry])[0] for entry in plain}
    yield equal("texts", by, len(gating), differences(subject, gating, alone))
    if verbatim := [entry for entry in gating if entry["ids_verbatim"]]:
        wrong = [entry["id"] for entry in verbatim if alone[entry["id"]][: len(entry["ids"])] != entry["ids"]]
        yield equal("their ids", by, len(verbatim), wrong)
    together = {}
    for i in range(0, len(gating), ROWS):
        batch = gating[i : i + ROWS]
        ids = [entry["id"] for entry in batch]
        together |= zip(ids, continuations(subject, batch), strict=True)
    wrong = differences(subject, gating, together)
    yield equal(f"texts, {ROWS} unequal rows in a batch", by, len(gating), wrong)
    if near:
        yield equal("texts with near ties", by, len(near), differences(subject, near, alone), gating=False)
    if others := [entry["id"] for entry in entries if entry not in plain]:
        yield skipped(
            f"{len(others)} texts by other rules", f"picogpt does not have them: {', '.join(others)}"
        )


def length(entry):
    """Return how many tokens an entry is long."""
    return entry["n_new"] or len(entry["ids"])


def continuations(subject, entries):
    """Return the new ids of each entry's prompt, all side by side."""
    prompts = [entry["prompt_ids"] for entry in entries]
    rows = generate(subject.params, subject.hparams["n_head"], prompts, max(map(length, entries)))
    return [row[: length(entry)] for row, entry in zip(rows, entries, strict=True)]


def differences(subject, entries, new):
    """Say of each entry whose text `new`, {id: new ids}, is not: where they leave it, and how closely."""
    found, decode = [], subject.encoder.decode
    for entry in entries:
        made, theirs = new[entry["id"]], entry["ids"]
        if decode(made).startswith(entry["text"]):
            continue
        i = next((i for i, pair in enumerate(zip(made, theirs, strict=False)) if len(set(pair)) > 1), None)
        if i is None:
            found.append(f"{entry['id']}: its ids are not its text")
            continue
        ids = entry["prompt_ids"] + theirs[:i]
        logits = gpt2([ids], subject.params, subject.hparams["n_head"], n_last=1)[0, -1]
        tokens = f"token {i + 1} is {decode([made[i]])!r}, not {decode([theirs[i]])!r}"
        found.append(f"{entry['id']}: {tokens}, by {logits[made[i]] - logits[theirs[i]]:.1g}")
    return found


# Rung 7


def published_numbers(subject):
    """Others have measured the model; the same measurements here must give the same numbers.

    They are: how the loss falls in ten steps of training, how likely a text is, and numbers from the inside.
    """
    numbers = subject.goldens.get("golden_numbers", {})
    found = list(numbers_of(subject, numbers))
    if subject.absent or not found:
        yield skipped("numbers", subject.absent or f"no numbers of {subject.name} are recorded")
        return
    for key, golden in found:
        measure, who = NUMBERS[key]
        yield from measure(subject, golden, golden.get("by", who))


def numbers_of(subject, numbers):
    """Yield (key, golden) of each number of a model; those that do not say of which are of 124M."""
    for key in NUMBERS:
        goldens = numbers.get(key, [])
        goldens = goldens.get("logit", [goldens]) if isinstance(goldens, dict) else goldens
        yield from ((key, golden) for golden in goldens if golden.get("model", "124M") == subject.name)


def ten_losses(subject, golden, who):
    """Train on one batch for ten steps, as llm.c does: its decay is on all weights, not on matrices alone."""
    ids, c, head = np.array(subject.goldens["llmc_batch"]), golden["adamw"], subject.hparams["n_head"]
    x, y = ids[:-1].reshape(golden["B"], golden["T"]), ids[1:].reshape(golden["B"], golden["T"])
    params = tree_map(np.copy, subject.params)  # the other rungs need the model as it was
    moments, losses = adamw_init(params), []
    settings = dict(lr=c["lr"], betas=(c["b1"], c["b2"]), eps=c["eps"], weight_decay=c["wd"])
    for step in range(1, len(golden["losses"]) + 1):
        loss, grads = loss_and_grads(params, x, y, head)
        losses.append(float(loss))
        clip(grads, golden["clip"] or 0)
        for _, w in walk(params):
            if w.ndim == 1:
                w *= 1 - c["lr"] * c["wd"]
        adamw_step(params, grads, moments, step, **settings)
    what = f"{len(losses)} losses, {'no clip' if golden['clip'] is None else 'clipped'}, decay {c['wd']:g}"
    errors = {f"step {i + 1}": abs(loss - golden["losses"][i]) for i, loss in enumerate(losses)}
    yield within(what, who, errors, golden.get("tol", 1e-2))


def rolling(subject, golden, who):
    """Measure how likely each token of a text is, in one window, and in windows of five tokens."""
    for length, name, total in (
        (subject.hparams["n_ctx"], "token_logprobs", "sum"), (5, "max_length5", "sum_max_length5"),
    ):  # fmt: skip
        ids = golden["prefix"] + golden["ids"]
        ours = rolling_log_probs(subject.params, subject.hparams["n_head"], ids, length)
        errors = {f"token {i}": abs(a - b) for i, (a, b) in enumerate(zip(ours, golden[name], strict=True))}
        errors["the sum, relatively"] = abs(sum(ours) / golden[total] - 1)
        what = "log-probabilities of a text" if name == "token_logprobs" else "the same, in windows of 5"
        yield within(what, who, errors, golden["rel"])


def likelihood(subject, context, ids):
    """Return the log-probability of `ids` after `context`."""
    [(log_probs, _)] = score(subject.params, subject.hparams["n_head"], [(context + ids, len(ids))])
    return log_probs.sum()


def log_likelihoods(subject, golden, who):
    """Measure how likely continuations are, each as a whole."""
    errors = {}
    for i, case in enumerate(golden["cases"]):
        context, ids = case["context_ids"], case["continuation_ids"]
        errors[f"case {i}"] = abs(likelihood(subject, context, ids) / case["target"] - 1)
    yield within(f"likelihood of {len(errors)} continuations", who, errors, golden["rel"])


def is_greedy(subject, golden, who):
    """Look which continuations are the greedy ones, and which of two is the likelier."""
    wrong, context = [], subject.encoder.encode(golden["context"])
    for text, greedy in golden["is_greedy"].items():
        ids = subject.encoder.encode(text)
        new = generate(subject.params, subject.hparams["n_head"], [context], len(ids))[0]
        wrong += [repr(text)] if greedy is not None and (new == ids) != greedy else []
    first, second = (subject.encoder.encode(text) for text in re.findall(r'logp\("(.*?)"\)', golden["order"]))
    likelier = likelihood(subject, context, first)
    wrong += [golden["order"]] if likelier <= likelihood(subject, context, second) else []
    n = sum(greedy is not None for greedy in golden["is_greedy"].values()) + 1
    yield equal("which continuation is likelier", who, n, wrong)


def hidden_state(subject, golden, who):
    """Look at the first numbers of what the last layer norm makes."""
    acts = []
    gpt2([golden["ids"]], subject.params, subject.hparams["n_head"], acts=acts)
    found, theirs = acts[-1]["ln_f"][0, 0], golden["final_hidden_first5"]
    errors = {f"channel {i}": abs(float(found[i]) - number) for i, number in enumerate(theirs)}
    yield within("the last hidden state", who, errors, golden["tol"])


def losses(subject, golden, who):
    """Measure the loss of a text; also with the values of one head gone."""
    ids = [subject.encoder.eot] * golden["bos"] + subject.encoder.encode(golden["text"])
    errors = {"loss": abs(loss_of(subject, subject.params, ids) - golden["loss"])}
    for name in golden:
        if ablated := re.fullmatch(r"ablate_L(\d+)H(\d+)_v0", name):
            params = without_values(subject, *map(int, ablated.groups()))
            errors[name] = abs(loss_of(subject, params, ids) - golden[name])
    yield within(f"loss of {golden['text'][:20]!r}...", who, errors, golden.get("tol", 1e-3))


def loss_of(subject, params, ids):
    """Return the loss of a text's ids but the first."""
    logits = gpt2([ids[:-1]], params, subject.hparams["n_head"])
    return float(cross_entropy(logits, np.array([ids[1:]])))


def without_values(subject, layer, head):
    """Return the params with the values of one head 0."""
    C, D = subject.hparams["n_embd"], subject.hparams["n_embd"] // subject.hparams["n_head"]
    blocks = list(subject.params["blocks"])
    c_attn = tree_map(np.copy, blocks[layer]["attn"]["c_attn"])
    for w in c_attn.values():
        w[..., 2 * C + head * D : 2 * C + (head + 1) * D] = 0
    blocks[layer] = blocks[layer] | dict(attn=blocks[layer]["attn"] | dict(c_attn=c_attn))
    return subject.params | dict(blocks=blocks)


def one_logit(subject, golden, who):
    """Compute one logit of the next token."""
    ids = subject.encoder.encode(golden["prompt"])
    logit = gpt2([ids], subject.params, subject.hparams["n_head"], n_last=1)[0, -1, golden["id"]]
    errors = {subject.encoder.decode([golden["id"]]): abs(float(logit) - golden["logit"])}
    yield within(f"a logit after {golden['prompt'][:20]!r}", who, errors, max(golden["tol"], FLOAT32))


def not_measured(subject, golden, who):
    """Say what is published, too."""
    yield skipped(f"losses that {who} has", "the short story that they are of is not in the repository")


NUMBERS = {  # how each is measured, and who has published it
    "llmc_test_gpt2_c": (ten_losses, "llm.c, test_gpt2.c"),
    "llmc_test_gpt2_cu": (ten_losses, "llm.c, test_gpt2.cu"),
    "lmeval_rolling": (rolling, "lm-evaluation-harness"),
    "lmeval_loglikelihood": (log_likelihoods, "lm-evaluation-harness"),
    "lmeval_is_greedy": (is_greedy, "lm-evaluation-harness"),
    "keras_backbone": (hidden_state, "KerasHub"),
    "transformerlens": (losses, "TransformerLens"),
    "rust_bert": (one_logit, "rust-bert"),
    "rasbt_verdict": (not_measured, "LLMs-from-scratch"),
}
