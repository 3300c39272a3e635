"""Prompts and completions: the templates, what of them is learned, and files that are none."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.finetune import examples
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import cross_entropy
from picogpt.params.tree import flatten, walk
from picogpt.text.chars import CharEncoder
from picogpt.train import trainer

ENCODER = CharEncoder.from_text("\nabcdefgh")  # ids in this order, 0 to 8


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "examples.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


def test_only_the_completion_and_its_end_are_learned():
    ids, targets = examples.batch(examples.encode([("ab", "cd"), ("efg", "h")], ENCODER, 11))
    start, (a, b, c, d, e, f, g, h) = ENCODER.start, ENCODER.encode("abcdefgh")
    assert ids.tolist() == [[start, a, b, c, d], [start, e, f, g, h]]
    assert targets.tolist() == [[-1, -1, c, d, start], [-1, -1, -1, h, start]]


def test_the_loss_is_the_mean_over_the_learned_tokens_alone(tiny):
    rows = examples.encode([("abc", "de"), ("a", "bcdefg"), ("fgh", "a")], ENCODER, 11)
    losses, n = 0, 0
    for ids, n_prompt in rows:
        logits = gpt2([ids[:-1]], tiny.params, 3)[0, n_prompt - 1 :]
        losses += cross_entropy(logits, np.array(ids[n_prompt:])) * len(logits)
        n += len(logits)
    loss, grads = loss_and_grads(tiny.params, *examples.batch(rows), 3)
    assert loss == pytest.approx(losses / n, rel=1e-12)
    in_parts, others = trainer.language_model(3)(tiny.params, examples.batch(rows), 0.0, None)
    assert in_parts == pytest.approx(loss, rel=1e-12)
    assert all(np.allclose(dx, flatten(others)[path]) for path, dx in walk(grads))


@pytest.mark.parametrize("char", "\u2028\u2029\u0085\x0b\x0c")
def test_a_record_ends_with_a_line_feed_alone(tmp_path, char):
    path = tmp_path / "examples.jsonl"
    records = [{"prompt": f"a{char}b", "completion": "c"}, {"prompt": "d", "completion": f"{char}"}]
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    if char in "\u2028\u2029\u0085":  # the others must be escaped in JSON, and are
        assert char in path.read_text(encoding="utf-8")
    assert examples.read_records(path, "prompt") == {1: records[0], 2: records[1]}


def test_what_a_completion_is_changes_the_loss_and_what_follows_the_prompt_does_not(tiny):
    def loss(prompt, completion, more=()):
        rows = examples.encode([(prompt, completion)], ENCODER, 11)
        ids, targets = examples.batch([*rows, *more])
        return loss_and_grads(tiny.params, ids[:1], targets[:1], 3)[0]

    longer = examples.encode([("abcdefgh", "a")], ENCODER, 11)
    assert loss("ab", "cd") != loss("ab", "ce")
    assert loss("ab", "cd") == pytest.approx(loss("ab", "cd", longer), rel=1e-12)  # padding


def test_instructions_have_an_input_or_none():
    record = dict(instruction="Name a king.", input="of Britain", output="Lear")
    prompt, completion = examples.fill(record)
    assert prompt == "--- Instruction ---\nName a king.\n--- Input ---\nof Britain\n--- Response ---\n"
    assert completion == "Lear"
    assert "Input" not in examples.fill(record | dict(input=""))[0]


def test_numbers_are_taken_as_texts_and_what_is_not_asked_for_may_be_anything():
    assert examples.fill(dict(prompt=2, completion=4.5, more=None)) == ("2", "4.5")
    assert examples.fill(dict(instruction="a", input=None, output="b"))[1] == "b"


def test_a_template_may_be_ones_own():
    record = dict(prompt="2 + 2", completion="4")
    assert examples.fill(record, "Q: {prompt}\nA: ") == ("Q: 2 + 2\nA: ", "4")
    assert examples.fill(record, "article")[0] == "--- Article ---\n2 + 2\n--- Summary ---\n"


@pytest.mark.parametrize(
    ("record", "template", "message"),
    [
        (dict(prompt="a"), "plain", "needs a completion"),
        (dict(question="a", completion="b"), "plain", "asks for 'prompt'.*question"),
        (dict(prompt="a", completion="b"), "{text}", "asks for 'text'"),
        (
            dict(prompt="a", completion=None),
            "plain",
            "an example has None as its completion: a text is needed",
        ),
        (dict(prompt=None, completion="b"), "plain", "an example has None as its prompt"),
        (dict(prompt="a", completion=["b"]), "plain", r"an example has \['b'\] as its completion"),
        (dict(instruction={}, output="b"), "plain", "an example has {} as its instruction"),
        (dict(instruction="a", input=["c"], output="b"), "plain", r"an example has \['c'\] as its input"),
    ],
)
def test_an_example_that_does_not_fit_the_template_is_an_error(record, template, message):
    with pytest.raises(ValueError, match=message):
        examples.fill(record, template)


def test_examples_that_are_too_long_are_left_out(caplog):
    rows = examples.encode([("abc", "d"), ("abcdefgh", "abcdefgh")], ENCODER, 11)
    assert len(rows) == 1
    assert "1 of 2 examples" in caplog.text
    with pytest.raises(ValueError, match="no example is as short"):
        examples.encode([("abcdefgh", "abcdefgh")], ENCODER, 11)


def test_an_example_of_just_the_context_fits(tiny):
    rows = examples.encode([("abcdef", "ghab")], ENCODER, 11)
    ids, _ = examples.batch(rows)
    assert ids.shape == (1, 11)
    gpt2(ids, tiny.params, 3)


def test_an_example_of_one_token_more_does_not_fit():
    assert len(examples.encode([("abcdef", "ghab"), ("abcdef", "gha")], ENCODER, 10)) == 1


def test_a_window_is_as_long_as_the_context_and_two_tokens_are_enough():
    assert [len(ids) for ids, _ in examples.windows(np.arange(11), 5)] == [6, 6]
    assert [len(ids) for ids, _ in examples.windows(np.arange(12), 5)] == [6, 6, 2]
    assert examples.windows(np.arange(2), 5) == [([0, 1], 1)]


def test_random_rows_are_drawn_from_all():
    rows = [([i, i], 1) for i in range(5)]
    ids, targets = examples.random_batch(rows, 200, np.random.default_rng(0))
    assert ids.shape == targets.shape == (200, 1)
    assert set(ids[:, 0].tolist()) == {0, 1, 2, 3, 4}


def test_a_line_of_json_is_counted_from_one_and_empty_ones_are_passed_over(file):
    assert list(examples.read_records(file({"prompt": "a"}, "", " ", {"prompt": "b"}), "prompt")) == [1, 4]


def test_no_template_of_the_tokenizer_comes_between():
    def encode(text, template=True):
        return [99, *ENCODER.encode(text)] if template else ENCODER.encode(text)

    encoder = SimpleNamespace(encode=encode, start=0, eot=None)
    assert examples.encode([("ab", "c")], encoder, 11) == [([0, 1, 2, 3, 0], 3)]


def test_windows_learn_every_token_but_the_first_once():
    rows = examples.windows(np.arange(23), 5)
    learned = [i for ids, n_prompt in rows for i in ids[n_prompt:]]
    assert learned == list(range(1, 23))
    with pytest.raises(ValueError, match="1 tokens are too few"):
        examples.windows(np.arange(1), 5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"prompt": "a"}, "no JSON"], "line 2"),
        (["[1, 2]"], "line 1"),
        ([{"prompt": "a"}, "", {"text": "b"}], "line 3 no 'prompt', but text"),
        ([""], "has no lines"),
    ],
)
def test_a_file_that_is_none_of_examples_is_an_error(lines, message, file):
    with pytest.raises(ValueError, match=message):
        examples.read_records(file(*lines), "prompt")


def test_gpt2s_tokenizer_ends_an_example_with_endoftext():
    tales = weights.shipped("tales")
    encoder = weights.read_encoder(tales, weights.read_hparams(tales))
    [(ids, n_prompt)] = examples.encode([("A king", " had a son.")], encoder, 64)
    assert ids[0] == ids[-1] == encoder.eot
    assert encoder.decode(ids[1:n_prompt]) == "A king"
