"""Labels of new texts by a saved classifier are those that its head gives, and the bad cases are said."""

import json

import numpy as np
import pytest
from test_classify import first_half, run, texts

from picogpt.checkpoints import weights
from picogpt.finetune import classifier, classify
from picogpt.gpt2 import gpt2
from picogpt.ops import linear, softmax


def label_of(folder, text):
    """Return the probabilities by hand: the head on the last token's state."""
    params, hparams, encoder = weights.load(folder)
    head, names, multi = classifier.load_head(folder)
    acts = []
    gpt2([[encoder.start, *encoder.encode(text)]], params, hparams["n_head"], acts=acts)
    scores = linear(acts[-1]["ln_f"][0, -1], **head)
    return names, 1 / (1 + np.exp(-scores)) if multi else softmax(scores)


def line_of(names, probs):
    order = sorted(range(len(names)), key=lambda i: -probs[i])
    return "  ".join(f"{names[i]} {probs[i]:.1%}" for i in order)


def test_a_text_and_lines_of_stdin_are_labelled(base, tmp_path, call_command, capsys):
    run(base, tmp_path, first_half, epochs=3)
    capsys.readouterr()
    out = tmp_path / "out"
    before = sorted(path.name for path in out.iterdir())
    some = texts(np.random.default_rng(5), 4)
    done = call_command(classify.classify, "--predict", some[0], "--out", out)
    assert (done.code, done.out, done.err) == (0, line_of(*label_of(out, some[0])) + "\n", "")
    stdin = ("\n\n".join(some) + "\r\n").encode()
    done = call_command(classify.classify, "--predict", "-", "--out", out, stdin=stdin)
    assert done.out.splitlines() == [line_of(*label_of(out, text)) for text in some]
    assert sorted(path.name for path in out.iterdir()) == before  # nothing is written


def test_spaces_count_and_what_is_beyond_the_context_does_not(base, tmp_path, call_command, capsys):
    run(base, tmp_path, first_half, epochs=3)
    capsys.readouterr()
    out, long = tmp_path / "out", "abcdefghij" * 5
    stdin = f"  ab \n{long}\n".encode()
    done = call_command(classify.classify, "--predict", "-", "--out", out, stdin=stdin)
    assert done.out.splitlines() == [line_of(*label_of(out, text)) for text in ("  ab ", long[:23])]
    assert line_of(*label_of(out, "  ab ")) != line_of(*label_of(out, "ab"))


def test_of_several_labels_each_has_its_own_probability(base, tmp_path, call_command, capsys):
    run(base, tmp_path, lambda text: dict(labels=[c for c in "abc" if c in text]), epochs=2)
    capsys.readouterr()
    done = call_command(classify.classify, "--predict", "abba", "--out", tmp_path / "out")
    names, probs = label_of(tmp_path / "out", "abba")
    assert done.out == line_of(names, probs) + "\n"
    assert abs(probs.sum() - 1) > 0.01


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--predict", "a", "--out", "nowhere"], 1, "nowhere holds no classifier: train one first"),
        (["--predict"], 2, "--predict needs a value"),
    ],
    ids=str,
)
def test_what_cannot_be_labelled_is_said(words, code, says, call_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_command(classify.classify, *words)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_head_of_another_model_is_said(base, tmp_path, call_command, capsys):
    run(base, tmp_path, first_half, epochs=1)
    capsys.readouterr()
    out, (head, *names) = tmp_path / "out", classifier.load_head(tmp_path / "out")
    classifier.save_head(out, head | dict(w=head["w"][:-1]), *names)
    done = call_command(classify.classify, "--predict", "a", "--out", out)
    said = f"the head in {out} is of another model than that beside it: train it again"
    assert done == (1, "", f"picogpt: {said}\n")


def test_a_text_that_the_tokenizer_cannot_read_is_said(base, tmp_path, call_command, capsys):
    run(base, tmp_path, first_half, epochs=1)
    capsys.readouterr()
    done = call_command(classify.classify, "--predict", "Z", "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert "'Z'" in done.err
    assert json.loads((tmp_path / "out" / "result.json").read_text())  # still there
