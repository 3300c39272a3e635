"""Talk: the examples say what the stories have, and a little training teaches a model to answer."""

import json
import math

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints import weights
from picogpt.params.init import init_params
from picogpt.projects import talk
from picogpt.text.bpe_train import train as train_bpe

NAMES = ["Tim", "Sue", "Ann", "Ben", "Max", "Lily"]
THINGS = ["kite", "drum", "boat", "lamp", "cake", "frog"]
STORY = "One day, {a} and {b} saw a {x}. It was a big {x}. Then {a} ran, and {b} ran too. They were glad."


@pytest.fixture(scope="module")
def stories():
    """Return 60 stories, all of them different."""
    rng, made = np.random.default_rng(0), {}
    while len(made) < 60:
        a, b = rng.choice(NAMES, 2, replace=False)
        made[STORY.format(a=a, b=b, x=rng.choice(THINGS))] = None
    return list(made)


def test_examples_of_all_kinds_take_turns_and_are_true(stories):
    pairs = talk.make(stories, dict.fromkeys(THINGS, 1.0), 1, np.random.default_rng(0))
    assert len(pairs) == 60
    for kind, (prompt, answer), story in zip(talk.KINDS * 15, pairs, stories, strict=True):
        if kind == "words":
            [word] = talk.words_of(prompt)
            assert (prompt, answer) == (f"Write a story with these words: {word}.\n", story)
            assert word in THINGS and talk.has(story, word)
        elif kind == "ending":
            assert (prompt, answer) == ("Write a story that ends so: They were glad.\n", story)
        else:
            assert prompt == f"{story}\nWho is in this story?\n"
            first, second = answer.rstrip(".").split(" and ")
            assert story.startswith(f"One day, {first} and {second} saw")
    assert talk.make(stories, {}, 1, np.random.default_rng(0)) == [
        pair for pair in pairs if not pair[0].startswith("Write a story with")
    ]


def test_a_story_is_about_what_it_has_often_and_others_have_not():
    texts = [
        "the dog saw the kite and the kite flew",
        "the dog saw the frog",
        "the cat saw the frog run",
        "the end",
    ]
    rarity = talk.rarities(texts)
    assert rarity == {
        "dog": math.log(2),
        "saw": math.log(4 / 3),
        "frog": math.log(2),
    }  # all, or one: none of these
    assert talk.topics("saw a frog, saw a frog, saw a dog", rarity) == ["frog", "saw", "dog"]


def test_stories_of_which_none_can_be_asked_for_are_said_before_the_training(stories, tmp_path):
    (tmp_path / "stories.txt").write_text("\n<|endoftext|>\n".join(stories) + "\n", encoding="utf-8")
    encoder = train_bpe(" ".join(stories) + " ".join(talk.ASKED.values()), 340)
    hparams = dict(n_vocab=340, n_ctx=128, n_embd=12, n_head=2, n_layer=1)
    weights.save(tmp_path / "base", init_params(hparams, np.random.default_rng(0)), hparams, encoder)
    with pytest.raises(ValueError, match=r"stories\.txt has no story held out with 9 of its rarer words"):
        talk.talk(
            str(tmp_path / "stories.txt"), model=str(tmp_path / "base"), out=str(tmp_path / "out"), n_words=9
        )
    assert not (tmp_path / "out").exists()


def test_no_word_is_asked_for_twice_and_all_that_there_are_may_be(stories):
    rng = np.random.default_rng(0)
    for n in range(20):
        prompt, _ = talk.example_of_words("a kite and a drum", dict(kite=1, drum=2, boat=3), 2, rng)
        assert sorted(talk.words_of(prompt)) == ["drum", "kite"], n
    assert talk.example_of_words("a kite and a drum", dict(kite=1, drum=2, boat=3), 3, rng) is None


def test_who_occurs_once_is_no_name():
    assert talk.names("One day, Tim saw Sue. Then Tim ran.") == ["Tim"]


def test_a_model_learns_to_answer_and_the_words_are_counted(stories, tmp_path):
    file = tmp_path / "stories.txt"
    file.write_text("\n<|endoftext|>\n".join(stories) + "\n", encoding="utf-8")
    encoder = train_bpe(" ".join(stories) + " ".join(talk.ASKED.values()), 340)
    hparams = dict(n_vocab=340, n_ctx=128, n_embd=24, n_head=2, n_layer=2)
    weights.save(tmp_path / "base", init_params(hparams, np.random.default_rng(0)), hparams, encoder)
    flags = ["--steps", "60", "--lr", "0.01", "--n_words", "1", "--n_test", "4", "--val_share", "0.3"]
    done = run_python(
        "-m", "picogpt.projects.talk", file, "--model", tmp_path / "base", "--out", tmp_path / "out", *flags,
    )  # fmt: skip
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "out" / "result.json").read_text())["results"]
    assert results["held-out loss after"] < results["held-out loss before"] / 2
    asked = [
        results[f"words asked for that are in the story, {when}"].split("/") for when in ("before", "after")
    ]
    assert [int(n) for _, n in asked] == [4, 4]
    assert results["sample"].startswith("Write a story with these words: ")
    assert weights.load(tmp_path / "out")[1] == hparams


def test_more_words_may_be_asked_for_than_a_story_is_about():
    words = ["kite", "windy", "tree", "river", "castle", "dragon"]
    rarity = dict.fromkeys(words, 1.0)
    rng = np.random.default_rng(0)
    prompt, story = talk.example_of_words(" ".join(words), rarity, 6, rng)
    assert sorted(talk.words_of(prompt)) == sorted(words) and story == " ".join(words)
    assert talk.example_of_words(" ".join(words[:5]), rarity, 6, rng) is None
    for _ in range(9):  # without more, they are among the first five
        assert words[5] not in talk.words_of(
            talk.example_of_words(" ".join([*words, *words[:5]]), rarity, 2, rng)[0]
        )


def test_the_end_that_a_model_sets_is_no_part_of_its_answer(stories, monkeypatch):
    encoder, asked = train_bpe(" ".join(stories), 300), []

    def answer(params, n_head, prompts, n_new, choice, finished):
        asked.append((prompts, n_new))
        ids = [*encoder.encode("Tim ran."), encoder.start]
        assert finished(ids) and not finished(ids[:-1])
        return [ids]

    monkeypatch.setattr(talk, "generate", answer)
    assert talk.write(dict(wpe=np.zeros((90, 2))), 2, encoder, "Who ran?") == "Tim ran."
    ids = [encoder.start, *encoder.encode("Who ran?")]
    assert asked == [([ids], 90 - len(ids))]
