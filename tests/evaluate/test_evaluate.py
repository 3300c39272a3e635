"""The command that measures a model on a text: `python -m picogpt.evaluate`."""

import json
import math
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints import huggingface, weights
from picogpt.checkpoints.weights import shipped
from picogpt.evaluate import cli as evaluate
from picogpt.evaluate import tasks
from picogpt.evaluate.scoring import block_windows, rolling_log_probs, rows_of, score, strided_windows
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.params.tree import tree_map
from picogpt.system import command
from picogpt.text.bpe import load_encoder
from picogpt.text.chars import CharEncoder
from picogpt.text.detokenise import detokenise

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "evaluation.md").read_text(encoding="utf-8")
HPARAMS = dict(n_vocab=300, n_ctx=16, n_embd=12, n_head=3, n_layer=2)
TEXT = ' = Song = \n The king \'s 1 @,@ 000 horses ( all ) were " gone " , naïve . \n And men \n'
NUMBER = r"(\d+\.\d+|inf)"


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(shipped("gpt2-bpe"), HPARAMS["n_vocab"])


@pytest.fixture(scope="module")
def params():
    return tree_map(lambda w: w * 5, init_params(HPARAMS, np.random.default_rng(0)))


@pytest.fixture
def run(folder, call_command):
    """Run the command in this process on the small model; return its exit code and what it wrote."""

    def run(*argv, model=folder):
        return call_command(evaluate.evaluate, f"--model={model}", *argv)

    return run


@pytest.fixture
def measure(run, tmp_path):
    """Return the numbers and the protocol that the command prints for a text."""

    def measure(text, *flags, **settings):
        path = tmp_path / "text.txt"
        path.write_text(text, encoding="utf-8")
        done = run(path, *flags, **settings)
        assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
        numbers = re.match(
            rf"perplexity {NUMBER} per ([a-z ]+), loss {NUMBER} nats per token, {NUMBER} bits per byte,"
            rf" accuracy {NUMBER} \| (.*)\n",
            done.out,
        ).groups()
        perplexity, loss, bits, accuracy = map(float, (numbers[0], *numbers[2:5]))
        return SimpleNamespace(
            perplexity=perplexity,
            per=numbers[1],
            loss=loss,
            bits=bits,
            accuracy=accuracy,
            protocol=numbers[5],
        )

    return measure


def near(value):
    return pytest.approx(value, rel=2e-4, abs=1e-4)


# A text


def test_the_numbers_are_what_their_names_say(measure, params, encoder):
    text = "Kings and men, naïve"
    ids = [encoder.eot, *encoder.encode(text)]
    assert len(ids) < HPARAMS["n_ctx"] + 2
    probs = softmax(gpt2([ids[:-1]], params, HPARAMS["n_head"])[0])
    nats = -np.log(probs[np.arange(len(ids) - 1), ids[1:]])
    said = measure(text)
    assert (said.loss, said.perplexity) == (near(nats.mean()), near(math.exp(nats.mean())))
    assert said.bits == near(nats.sum() / math.log(2) / 21)  # bytes: ï has two
    assert said.accuracy == near((probs.argmax(-1) == ids[1:]).mean())
    assert said.protocol.endswith("after '<|endoftext|>', windows of 16, rolling, stride 16")


def test_each_protocol_is_that_of_its_windows(measure, params, encoder):
    ids, model = [encoder.eot, *encoder.encode(TEXT)], (params, HPARAMS["n_head"])
    n = len(ids)
    for flags, log_probs, protocol in (
        ([], [(rolling_log_probs(*model, ids), 0)], "windows of 16, rolling, stride 16"),
        (["--window=7", "--stride=2"], [(rolling_log_probs(*model, ids, 7, 2), 0)], "7, rolling, stride 2"),
        (
            ["--protocol=strided"],
            score(*model, rows_of(ids, strided_windows(n, 16))),
            "strided, stride 16",
        ),
        (
            ["--protocol=strided", "--stride=3"],
            score(*model, rows_of(ids, strided_windows(n, 16, 3))),
            "stride 3",
        ),
        (
            ["--protocol=blocks", "--window=5"],
            score(*model, rows_of(ids, block_windows(n, 5))),
            "of 5, blocks",
        ),
    ):
        said, scored = measure(TEXT, *flags), np.concatenate([each for each, _ in log_probs])
        assert said.loss == near(-scored.mean())
        assert said.protocol.endswith(protocol)
        assert said.bits == near(said.loss / math.log(2) * (n - 1) / len(TEXT.encode()))  # of all tokens
        assert f": {len(scored)} of {n - 1} tokens |" in said.protocol


def test_without_bos_the_first_token_goes_unscored(measure, params, encoder):
    ids = encoder.encode(TEXT)
    said = measure(TEXT, "--no_bos")
    assert said.loss == near(-rolling_log_probs(params, HPARAMS["n_head"], ids).mean())
    assert f": {len(ids) - 1} of {len(ids)} tokens |" in said.protocol
    assert ", after nothing, " in said.protocol


def test_a_perplexity_may_be_of_a_word_or_of_an_original_token(measure, encoder):
    words, lines = len(re.split(r"\s+", TEXT)), 3
    assert (words, len(TEXT.split())) == (24, 22)  # the evaluation harness counts the two ends
    n_tokens, token = len(encoder.encode(TEXT)), measure(TEXT)
    for unit, n in (("word", words), ("original token", 22 + lines)):
        said = measure(TEXT, f"--normalise={unit.split()[0]}")
        assert (said.per, said.loss, said.bits) == (unit, token.loss, token.bits)
        assert math.log(said.perplexity) == near(token.loss * n_tokens / n)
        assert f" tokens, {n} {unit}s |" in said.protocol


def test_words_belong_to_all_tokens_those_too_that_a_protocol_leaves_out(measure, encoder):
    n_tokens = len(encoder.encode(TEXT))
    said = measure(TEXT, "--protocol=blocks", "--window=5", "--normalise=word")
    assert n_tokens % 5  # so some are left out
    assert math.log(said.perplexity) == near(said.loss * n_tokens / 24)
    assert said.bits == near(said.loss / math.log(2) * n_tokens / len(TEXT.encode()))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--window=16"], "windows of 16, rolling, stride 16"),
        (["--window=4", "--stride=4"], "windows of 4, rolling, stride 4"),
        (["--window=1"], "windows of 1, rolling, stride 1"),
    ],
)
def test_a_window_may_be_the_context_and_a_stride_the_window(measure, flags, says):
    assert measure(TEXT, *flags).protocol.endswith(says)


def test_a_detokenised_text_is_divided_by_what_the_file_has(measure):
    natural = detokenise(TEXT, "wikitext")
    assert len(natural) < len(TEXT)
    said, of_natural = measure(TEXT, "--detokenise=wikitext"), measure(natural)
    assert said.loss == of_natural.loss
    assert said.bits == near(of_natural.bits * len(natural.encode()) / len(TEXT.encode()))
    assert ", detokenised as wikitext |" in said.protocol


def test_documents_are_one_text_or_each_alone(measure, params, encoder):
    first, second = "Kings and men.", "Horses"
    text = f"{first}\n<|endoftext|>\n{second}\n"
    ids = [[encoder.eot, *encoder.encode(document)] for document in (first, second)]
    alone = np.concatenate([rolling_log_probs(params, HPARAMS["n_head"], each) for each in ids])
    said = measure(text, "--documents")
    assert (said.loss, said.bits) == (near(-alone.mean()), near(-alone.sum() / math.log(2) / 20))
    assert f": {len(alone)} of {len(alone)} tokens, each of 2 documents alone |" in said.protocol
    joined = rolling_log_probs(params, HPARAMS["n_head"], ids[0] + ids[1])  # the second <|endoftext|> too
    assert measure(text).loss == near(-joined.mean())
    assert measure(text, "--no_bos", "--documents").protocol.count(f": {len(alone) - 2} of {len(alone)} ")


def test_a_model_of_characters_begins_after_its_newline(measure, tmp_path):
    encoder = CharEncoder.from_text("kings\n")
    hparams = HPARAMS | dict(n_vocab=encoder.n_vocab)
    params = init_params(hparams, np.random.default_rng(1))
    weights.save(tmp_path / "chars", params, hparams, encoder)
    said = measure("kings\nsing\n", model=tmp_path / "chars")
    ids = [encoder.start, *encoder.encode("kings\nsing\n")]
    nats = -rolling_log_probs(params, 3, ids)
    assert (said.loss, said.bits) == (near(nats.mean()), near(nats.mean() / math.log(2)))
    assert "chars, after '\\n', windows of 16" in said.protocol


def test_a_perplexity_beyond_all_numbers_is_infinite(measure):
    assert measure("x" * 900, "--normalise=word").perplexity == math.inf


# A sentence


def test_a_sentence_is_scored_token_by_token(run, params, encoder):
    sentence = "Kings and naïve men"
    ids = [encoder.eot, *encoder.encode(sentence)]
    for flags, window in ([], None), (["--window=5"], 5):
        lines = run("--score", sentence, *flags).out.splitlines()
        expected = rolling_log_probs(params, HPARAMS["n_head"], ids, window)
        for line, log_prob, i in zip(lines, expected, ids[1:], strict=False):
            assert line == f"{log_prob:10.4f} {i:6} {encoder.decode([i])!r}"
        assert lines[-1].startswith(f"{expected.sum():10.4f} sum of {len(ids) - 1} tokens | ")
        assert len(lines) == len(ids)
    assert run("--score", sentence, "--no_bos").out.count("\n") == len(ids) - 1


# Questions


def test_questions_are_read_scored_and_counted(run, folder, params, encoder, tmp_path):
    path, model = tmp_path / "questions.jsonl", (params, HPARAMS["n_head"])
    words = [("The king and the", "king"), ("All the", "men"), ("Horses, horses", "naïve")]
    path.write_text("".join(json.dumps({"text": " ".join(pair)}) + "\n" for pair in words))
    rows = [tasks.row(context, " " + word, encoder, 16, [encoder.eot]) for context, word in words]
    measures = tasks.lambada(None, [[each] for each in score(*model, rows)])
    assert run(path, "--task=lambada").out == (
        f"accuracy {measures['accuracy']:.4f}, perplexity {measures['perplexity']:.4f}"
        f" | {path}: 3 questions | {Path(folder).name}, after '<|endoftext|>', windows of 16\n"
    )


def test_endings_are_chosen_after_their_context(run, folder, tmp_path):
    path = tmp_path / "questions.jsonl"
    line = {"ctx": "The king", "endings": ["and men", "naïve", "x", "horses"], "label": 0}
    path.write_text("".join(json.dumps(line | {"label": label}) + "\n" for label in range(4)))
    done = run(path, "--task=choice", "--no_bos")
    assert done.out.startswith("acc 0.2500, acc_per_token 0.2500, acc_per_character 0.2500 | ")
    assert done.out.endswith(": 4 questions | " + Path(folder).name + ", after nothing, windows of 16\n")


# What goes wrong


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "give either a FILE or --score TEXT"),
        (["a.txt", "--score", "b"], "give either a FILE or --score TEXT"),
        (["a.txt", "--task=mmlu"], "--task must be text or lambada or choice, not mmlu"),
        (["a.txt", "--protocol=x"], "--protocol must be rolling or strided or blocks, not x"),
        (["a.txt", "--detokenise=x"], "--detokenise must be none or wikitext or ptb, not x"),
        (["a.txt", "--normalise=x"], "--normalise must be token or word or original, not x"),
        (["a.txt", "--source=x"], "--source must be openai or hf, not x"),
        (["a.txt", "--window=-1"], "--window must be at least 0 and less than 2**16, not -1"),
        (["a.txt", "--threads=65536"], "--threads must be at least 0 and less than 2**16, not 65536"),
        (["a.txt", "--stride=4", "--protocol=blocks"], "--stride has no effect with --protocol blocks"),
        (["a.txt", "--task=choice", "--stride=4"], "--stride is for a FILE of text alone"),
        (["--score", "a", "--documents"], "--documents is for a FILE of text alone"),
        (["--score", "a", "--task=choice"], "--task has no effect with --score"),
    ],
)
def test_wrong_usage_is_named(run, flags, says):
    done = run(*flags)
    assert (done.code, done.out, done.err) == (2, "", f"picogpt: {says} (--help shows all flags)\n")


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        ("", [], r"text\.txt is too short: it has no token that this protocol scores"),
        ("x", ["--no_bos"], r"text\.txt is too short"),
        ("a few", ["--protocol=blocks"], r"text\.txt is too short"),
        ("a few", ["--window=17"], "--window is 17, but this model's context is 16 tokens"),
        ("a few", ["--window=4", "--stride=5"], "--stride is 5, more than the window of 4"),
        ('{"text": 1}', ["--task=lambada"], r"text\.txt, line 1 cannot be used: it needs a text"),
    ],
)
def test_what_cannot_be_measured_is_reported(run, tmp_path, text, flags, says):
    (tmp_path / "text.txt").write_text(text)
    done = run(tmp_path / "text.txt", *flags)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert re.match(rf"picogpt: .*{says}", done.err)


def test_a_missing_file_and_an_empty_sentence_are_reported(run, tmp_path):
    assert run(tmp_path / "none").err == f"picogpt: there is no text file {tmp_path / 'none'}\n"
    assert run("--score", "").err == "picogpt: --score needs a token that stands after another one\n"


# What is documented


def test_the_help_names_every_flag():
    page = command.page(evaluate.evaluate)
    flags = set(re.findall(r"^  --(\w+) .*\S", page, re.MULTILINE))
    assert flags == set(command.parameters(evaluate.evaluate)) - {"file"}


def test_the_page_shows_what_is_printed(run):
    [(line, printed)] = re.findall(r"\$ python -m picogpt\.evaluate (--score .*)\n([^`]*)", PAGE)
    out = run(*shlex.split(line)[:2], model="tales").out
    for ours, shown in zip(out.splitlines(), printed.splitlines(), strict=True):
        assert float(ours[:10]) == near(float(shown[:10]))
        assert ours[10:] == shown[10:]


def test_the_page_uses_flags_that_exist():
    lines = [line for line in re.findall(r"python -m picogpt\.evaluate ([^`|\n]*)", PAGE) if line]
    for line in lines:
        command.read_flags(evaluate.evaluate, shlex.split(line), {})
    cells = [shlex.split(cell) for cell in re.findall(r"`(--[^`]+)`", PAGE)]
    for words in cells:
        if len(words) > 1:
            command.read_flags(evaluate.evaluate, words, {})
        else:
            command.flag_parameter(words[0], command.parameters(evaluate.evaluate), {})
    assert len(lines) >= 2
    assert len(cells) > 20


# Hugging Face, live


@pytest.fixture(scope="module")
def tales(tmp_path_factory):
    """Return the bundled model here and in Hugging Face: params, n_head, encoder, GPT2LMHeadModel."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    params, hparams, encoder = weights.load(shipped("tales"))
    folder = tmp_path_factory.mktemp("hf")
    huggingface.write(folder, params, hparams, encoder)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    return params, hparams["n_head"], encoder, theirs


def their_loss(model, ids, n):
    """Return Hugging Face's mean loss over the last n of the ids."""
    import torch

    labels = torch.tensor([ids])
    labels[:, : len(ids) - n] = -100
    with torch.no_grad():
        return model(torch.tensor([ids]), labels=labels).loss.item()


def test_the_bundled_model_s_windows_have_hugging_face_s_losses(tales):
    params, n_head, encoder, theirs = tales
    text = (REPOSITORY / "tests" / "data" / "tinyshakespeare.txt").read_text(encoding="utf-8")[:4000]
    ids = encoder.encode(text)
    rows = rows_of(ids, strided_windows(len(ids), 256, 100))
    for (row, n), (log_probs, _) in zip(rows, score(params, n_head, rows), strict=True):
        assert abs(-log_probs.mean() - their_loss(theirs, row, n)) < 1e-4


def test_the_bundled_model_s_endings_have_hugging_face_s_likelihoods(tales):
    params, n_head, encoder, theirs = tales
    endings = [" king", " the old man, who lived in the wood", " golden bird.", " bird of gold and silver"]
    rows = [tasks.row("There was once a", ending, encoder, 256, []) for ending in endings]
    for (row, n), (log_probs, _) in zip(rows, score(params, n_head, rows), strict=True):
        assert abs(-log_probs.sum() - n * their_loss(theirs, row, n)) < 1e-4


@pytest.mark.parametrize("positions", ["rotary", "alibi", "none"])
def test_a_model_without_a_last_position_reads_windows_beyond_its_context(positions, encoder, tmp_path):
    hparams = HPARAMS | dict(positions=positions)
    params = init_params(hparams, np.random.default_rng(0))
    longer, n_ctx = evaluate.lengthened(params, 40)
    assert (n_ctx, longer["wpe"].shape, len(params["wpe"])) == (40, (40, 0), 16)
    ids = np.array(encoder.encode(TEXT))[:40]
    expected = np.log(softmax(gpt2([ids[:-1]], longer, 3))[0, np.arange(len(ids) - 1), ids[1:]])
    np.testing.assert_allclose(rolling_log_probs(longer, 3, ids), expected, atol=1e-4)
    assert evaluate.lengthened(params, 5)[1] == 16
    learned = init_params(HPARAMS, np.random.default_rng(0))
    assert evaluate.lengthened(learned, 40) == (learned, 16)
