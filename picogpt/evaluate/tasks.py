"""Two kinds of questions to a language model, from files of JSON lines, and how many it gets right.

lambada: which word ends a passage? {"text": "..."}, as in OpenAI's lambada_test.jsonl (Paperno et al. 2016,
arXiv:1606.06031). choice: which of several endings is the right one? {"ctx": "...", "endings": ["...",
"..."], "label": 0}, as in hellaswag_val.jsonl (Zellers et al. 2019, arXiv:1905.07830). Other keys are
ignored.

A question is (rows, endings, label): a row of ids for each ending, see `scoring.score`, the endings, and the
number of the right one. Its answers are what `score` says of each row.
"""

import json
import math

import numpy as np

from picogpt.text import data


def read_questions(path, task, row):
    """Return the questions in a file. `row(context, ending)` makes the ids; an error names the line."""
    questions = []
    for n, line in enumerate(data.read_text(path).split("\n"), start=1):
        try:
            if line.strip():
                questions.append(TASKS[task][0](json.loads(line), row))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {n} is not JSON: {error.msg}") from None
        except KeyError as error:
            raise ValueError(f"{path}, line {n} has no {error}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {n} cannot be used: {error}") from None
    if not questions:
        raise ValueError(f"{path} has no questions: it needs a line of JSON for each")
    return questions


def text_of(line, name):
    """Return the text that a line has under a name."""
    if not isinstance(line, dict) or not isinstance(line[name], str):
        raise ValueError(f"it needs a text under {name!r}")
    return line[name]


def row(context, ending, encoder, window, start):
    """Return (ids, n): the n ids of an ending, and before them `start` and the context.

    If these are more than `window` + 1, the oldest are left out: the model reads at most `window` ids.
    """
    ending_ids = encoder.encode(ending, template=False)
    ids = [*start, *encoder.encode(context, template=False), *ending_ids]
    if len(ending_ids) > window:
        raise ValueError(f"{ending[:40]!r}... has {len(ending_ids)} tokens, more than a window of {window}")
    if len(ids) == len(ending_ids):
        raise ValueError(f"{ending[:40]!r} has nothing before it")
    return ids[-(window + 1) :], len(ending_ids)


def lambada_question(line, row):
    """Return the question of a passage: its last word, with the space before it."""
    context, space, word = text_of(line, "text").rpartition(" ")
    if not (context and word):
        raise ValueError("its text needs a last word after a space")
    return [row(context, space + word)], [space + word], 0


def lambada(questions, answers):
    """Return the share of words all of whose tokens are the likeliest, and the perplexity of a word.

    perplexity = e^-(mean over the words of the sum of their tokens' log-probabilities)
    """
    accuracy = float(np.mean([likeliest.all() for [(_, likeliest)] in answers]))
    return dict(accuracy=accuracy, perplexity=math.exp(-np.mean([p.sum() for [(p, _)] in answers])))


def choice_question(line, row):
    """Return the question of a context and its endings; a space joins the two."""
    context, endings, label = text_of(line, "ctx"), line["endings"], line["label"]
    if not (
        isinstance(endings, list) and len(endings) > 1 and all(e and isinstance(e, str) for e in endings)
    ):
        raise ValueError("its endings must be several texts, none of them empty")
    if str(label) not in map(str, range(len(endings))):
        raise ValueError(f"its label is {label!r}, but the endings are 0 to {len(endings) - 1}")
    return [row(context, " " + ending) for ending in endings], endings, int(label)


def choice(questions, answers):
    """Return the share of questions whose right ending is the likeliest, by three measures.

    By the sum of the log-probabilities of its tokens, by the mean for a token, and by the mean for a
    character of the ending, without the space before it.
    """
    right = dict(acc=0, acc_per_token=0, acc_per_character=0)
    for (_, endings, label), scored in zip(questions, answers, strict=True):
        total = np.array([log_probs.sum() for log_probs, _ in scored])
        n_tokens = np.array([len(log_probs) for log_probs, _ in scored])
        n_characters = np.array([len(ending) for ending in endings])
        for name, score in zip(right, (total, total / n_tokens, total / n_characters), strict=True):
            right[name] += int(score.argmax() == label)
    return {name: n / len(questions) for name, n in right.items()}


TASKS = dict(lambada=(lambada_question, lambada), choice=(choice_question, choice))
