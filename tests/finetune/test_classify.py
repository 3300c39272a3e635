"""The command that teaches labels; and the passages of two authors that it learns from."""

import collections
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.finetune import classifier, classify
from picogpt.finetune.examples import read_records
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map, walk
from picogpt.text import chars
from picogpt.train import runs

SETTINGS = dict(epochs=8, batch_size=8, lr=0.01, dropout=0.0, threads=1)


def texts(rng, n=60):
    """Return random texts of unequal lengths."""
    return ["".join(rng.choice(list("abcdefghij"), rng.integers(1, 9))) for _ in range(n)]


def write(path, texts, label):
    """Write the examples, with what label(text) says of each."""
    lines = [json.dumps(dict(text=text) | label(text)) for text in texts]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def run(base, tmp_path, label, **settings):
    train = write(tmp_path / "train.jsonl", texts(np.random.default_rng(0)), label)
    test = write(tmp_path / "test.jsonl", texts(np.random.default_rng(1)), label)
    out = tmp_path / "out"
    classify.classify(train, test=test, model=base, out=str(out), **SETTINGS | settings)
    return json.loads((out / "result.json").read_text(encoding="utf-8"))["results"]


def first_half(text):
    return dict(label="low" if text[-1] < "f" else "high")


@pytest.mark.parametrize("way", [{}, dict(lora=2, lr=0.03), dict(adapters=8)], ids=str)
def test_it_learns_what_the_last_character_tells(way, base, tmp_path):
    results = run(base, tmp_path, first_half, **way)
    assert results["accuracy"] > results["commonest label"] + 0.1


def test_the_head_alone_leaves_the_model_as_it_was(base, tmp_path):
    results = run(base, tmp_path, first_half, train="head.*", lr=0.05)
    assert results["accuracy"] > results["commonest label"]
    assert results["trained parameters"] == 12 * 2 + 2
    before, after = (Path(folder, "model.safetensors").read_bytes() for folder in (base, tmp_path / "out"))
    assert before == after


def test_several_labels_may_be_right(base, tmp_path):
    def label(text):
        return dict(labels=[name for name in "ab" if name in text[-1:]] + ["long"] * (len(text) > 4))

    results = run(base, tmp_path, label, epochs=20)
    assert results["accuracy"] > results["commonest label"]
    assert "naive Bayes" not in results
    params, hparams, encoder = weights.load(tmp_path / "out")
    head, names, multi = classifier.load_head(tmp_path / "out")
    assert (names, multi) == (["a", "b", "long"], True)
    given, right = texts(np.random.default_rng(1)), []
    for text, ids in zip(given, classify.encode(given, encoder, hparams["n_ctx"]), strict=True):
        [scores] = classifier.score(params | dict(head=head), [ids], 3)
        found = {name for name, score in zip(names, scores, strict=True) if score > 0}
        right.append(3 - len(found ^ set(label(text)["labels"])))
    assert results["accuracy"] == pytest.approx(np.mean(right) / 3)
    assert results["all labels right"] == pytest.approx(right.count(3) / len(given))
    assert 0 < right.count(3) < len(given)


def test_what_is_saved_labels_as_the_command_did(base, tmp_path):
    results = run(base, tmp_path, first_half)
    params, hparams, encoder = weights.load(tmp_path / "out")
    head, names, multi = classifier.load_head(tmp_path / "out")
    assert (names, multi) == (["high", "low"], False)
    given = texts(np.random.default_rng(1))
    rows = classify.encode(given, encoder, hparams["n_ctx"])
    found = classifier.score(params | dict(head=head), rows, 3).argmax(axis=1)
    right = [names[i] == first_half(text)["label"] for i, text in zip(found, given, strict=True)]
    assert np.mean(right) == results["accuracy"]


def test_each_epoch_has_every_text_once_in_an_order_of_its_own():
    rows, labels, orders = [[i] for i in range(11)], np.arange(11) % 3, []
    for epoch in range(3):
        batches = [classify.batch_at(3 * epoch + n, rows, labels, 4, seed=0) for n in range(3)]
        assert [len(some) for some, _ in batches] == [4, 4, 3]
        orders.append([row[0] for some, _ in batches for row in some])
        assert np.concatenate([right for _, right in batches]).tolist() == [i % 3 for i in orders[-1]]
        assert sorted(orders[-1]) == list(range(11))
    assert len({*map(tuple, orders), tuple(range(11))}) == 4
    assert [row[0] for row in classify.batch_at(0, rows, labels, 4, seed=1)[0]] != orders[0][:4]


def test_the_command_shows_every_text_in_each_epoch(base, tmp_path, monkeypatch):
    seen, sizes, find = [], [], classifier.loss_and_grads

    def look(params, batch, *rest):
        seen.extend(map(tuple, batch[0]))
        sizes.append(len(batch[0]))
        return find(params, batch, *rest)

    monkeypatch.setattr(classifier, "loss_and_grads", look)
    run(base, tmp_path, first_half, epochs=2)
    _, _, encoder = weights.load(base)
    rows = sorted(map(tuple, classify.encode(texts(np.random.default_rng(0)), encoder, 24)))
    assert sizes == 2 * [8, 8, 8, 8, 8, 8, 8, 4]
    assert sorted(seen[:60]) == sorted(seen[60:]) == rows
    assert seen[:60] != seen[60:]


def test_the_passages_that_come_with_picogpt_have_a_protocol(base, tmp_path, monkeypatch):
    monkeypatch.setattr(classify, "TEST", tmp_path / "test.jsonl")
    assert run(base, tmp_path, first_half, epochs=1)["protocol"] == classify.PROTOCOL
    monkeypatch.setattr(classify, "TEST", tmp_path / "another.jsonl")
    shutil.rmtree(tmp_path / "out")
    assert "protocol" not in run(base, tmp_path, first_half, epochs=1)


def test_what_the_commonest_label_is_and_what_scores_speak_for():
    assert classify.commonest(np.array([2, 1, 2, 0]), 3).tolist() == [2, 2, 2]
    table = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0]], np.float32)
    assert classify.commonest(table, 2).tolist() == [[1, 0, 0]] * 2
    scores = np.array([[0.5, 2.0, -1.0], [-1.0, 0.0, -2.0]])
    assert classify.chosen(scores, False).tolist() == [1, 1]
    assert classify.chosen(scores, True).tolist() == [[1, 1, 0], [0, 0, 0]]  # 0 is as likely as not
    assert classify.accuracy(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]])) == 0.75


def test_a_long_text_loses_its_end():
    encoder = chars.CharEncoder("\nabc")
    assert classify.encode(["abcabc", "ab", "abca"], encoder, 5) == [
        [0, 1, 2, 3, 1],
        [0, 1, 2],
        [0, 1, 2, 3, 1],
    ]


def test_naive_bayes_is_bayes_rule():
    """Of c: 3/4 (0 + 1) / (4 + 3) for the first label is less than 1/4 (1 + 1) / (1 + 3) for the second."""
    train, labels = ["a a", "b", "A", "c"], np.array([0, 0, 0, 1])
    assert classify.naive_bayes(train, labels, ["a!", "c", "unknown"]).tolist() == [0, 1, 0]


def test_naive_bayes_counts_how_often_a_label_is_right():
    assert classify.naive_bayes(["a", "b", "c"], np.array([1, 1, 0]), ["unknown"]).tolist() == [1]


def test_names_of_labels_are_sorted_as_texts_and_whole_numbers_stay_such(tmp_path):
    path = write(
        tmp_path / "x.jsonl", ["b", "10", "a", "9"], lambda t: dict(label=int(t) if t.isdigit() else t)
    )
    _, names, labels, multi = classify.read(path)
    assert (names, labels.tolist(), multi) == ([10, 9, "a", "b"], [3, 0, 2, 1], False)


@pytest.mark.parametrize("multi", [True, False])
def test_a_test_has_the_kind_of_labels_that_was_learned(multi, tmp_path):
    other = (lambda text: dict(label="x")) if multi else (lambda text: dict(labels=["x"]))
    path = write(tmp_path / "x.jsonl", ["a"], other)
    with pytest.raises(ValueError, match=r"has in line 1 no example of a text and (a )?label"):
        classify.read(path, ["x"], multi)


def test_a_label_that_was_not_learned_is_an_error(tmp_path):
    path = write(tmp_path / "x.jsonl", ["a", "b"], lambda text: dict(label=text))
    with pytest.raises(ValueError, match="has the label 'b', but those trained on are a, c"):
        classify.read(path, ["a", "c"], multi=False)


@pytest.mark.parametrize("right", [dict(label=1), dict(labels=["x", 1])], ids=str)
@pytest.mark.parametrize(
    "wrong",
    [
        dict(text="a"),
        dict(text="a", label=["x"]),
        dict(text="a", label=None),
        dict(text="a", label=0.5),
        dict(text="a", labels=5),
        dict(text="a", labels="yes"),
        dict(text="a", labels=[["x"]]),
        dict(text=" ", label=1, labels=[]),
        dict(text=None, label=1, labels=[]),
        dict(label=1, labels=[]),
    ],
    ids=str,
)
def test_what_is_no_text_with_its_labels_is_named_with_its_line(right, wrong, tmp_path, call_command):
    lines = [json.dumps(dict(text="a") | right), "", json.dumps(wrong)]
    (tmp_path / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = call_command(classify.classify, tmp_path / "x.jsonl", "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    wanted = "a label (a text or a whole number)" if "label" in right else "labels (a list of texts or"
    assert done.err.startswith(
        f"picogpt: {tmp_path / 'x.jsonl'} has in line 3 no example of a text and {wanted}"
    )
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_without_any_label_is_an_error(tmp_path):
    path = write(tmp_path / "x.jsonl", ["a", "b"], lambda text: dict(labels=[]))
    with pytest.raises(ValueError, match="has no label at all: give some of its texts labels"):
        classify.read(path)
    texts, _, table, _ = classify.read(path, ["x", "y", "z"], multi=True)
    assert (texts, table.tolist()) == (["a", "b"], [[0, 0, 0], [0, 0, 0]])


def test_the_two_authors_are_balanced_and_no_book_is_in_both_files():
    records = {
        split: read_records(runs.DATA / f"two_authors_{split}.jsonl", "text", "label", "book").values()
        for split in ("train", "test")
    }
    counts = {
        split: collections.Counter(record["label"] for record in some) for split, some in records.items()
    }
    assert counts == dict(train=dict(Baum=260, Nesbit=260), test=dict(Baum=120, Nesbit=120))
    books = {split: {record["book"] for record in some} for split, some in records.items()}
    assert not books["train"] & books["test"]
    assert len({record["text"] for some in records.values() for record in some}) == 760


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("size", [2, 3, 6])
def test_what_each_process_adds_makes_the_gradients_of_the_whole_batch(size, multi):
    """Of five texts of different lengths: some processes have two, some one, some none."""
    hparams = dict(n_vocab=17, n_ctx=9, n_embd=8, n_head=2, n_layer=1)
    rng = np.random.default_rng(0)
    params = init_params(hparams, rng, np.float64)
    params["head"] = classifier.init_head(8, 3, rng, np.float64)
    rows = [rng.integers(0, 17, n).tolist() for n in (2, 9, 3, 5, 4)]
    labels = rng.integers(0, 2, (5, 3)).astype(float) if multi else rng.integers(0, 3, 5)
    expected_loss, expected = classifier.loss_and_grads(params, (rows, labels), 2, 0.5)
    found = [
        classify.gradients_of(2, 0.5, SimpleNamespace(rank=rank, size=size), params, (rows, labels), 0, rng)
        for rank in range(size)
    ]
    assert sum(loss for loss, _ in found) == pytest.approx(expected_loss, rel=1e-9)
    total = tree_map(lambda *g: sum(g), *(grads for _, grads in found))
    for path, g in walk(expected):
        np.testing.assert_allclose(flatten(total)[path], g, atol=1e-12, err_msg=path)


def test_naive_bayes_counts_each_known_word_once_more_than_it_was_seen():
    texts, labels = ["b", "b b b b b x"], np.array([0, 1])
    assert classify.naive_bayes(texts, labels, ["b"]).tolist() == [1]  # 6 / (6 + 2) is more than 2 / (1 + 2)
    assert classify.naive_bayes(["x", "b", "b"], np.array([0, 1, 1]), ["new"]).tolist() == [
        1
    ]  # the commonest
