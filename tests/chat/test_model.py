"""A model in three lines gives what the functions under it give, and a chat template what Jinja does."""

import json
import subprocess
import sys

import numpy as np
import pytest

import picogpt
from picogpt.chat import talk, templates
from picogpt.evaluate.scoring import rolling_log_probs
from picogpt.generate import Choice, generate
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def as_meant():
    """The bundled model as its generation_config.json says."""
    return picogpt.load("tales")


@pytest.fixture(scope="module")
def model():
    return picogpt.load("tales", plain=True)


def test_without_settings_a_text_is_the_command_lines(as_meant):
    done = subprocess.run(
        [sys.executable, "-m", "picogpt", PROMPT, "--model", "tales"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert as_meant.generate(PROMPT) == done.stdout.rstrip("\n")
    assert as_meant.usage["repetition_penalty"] != 1


def test_a_setting_comes_before_what_the_file_says(as_meant, model):
    given = dict(n=30, repetition_penalty=1.0)
    assert as_meant.generate(PROMPT, n=30) != as_meant.generate(PROMPT, **given)
    assert as_meant.generate(PROMPT, **given) == model.generate(PROMPT, n=30)


def test_generate_and_stream_are_the_functions_text(model):
    ids = model.encoder.encode(PROMPT)
    [new] = generate(model.params, model.hparams["n_head"], [ids], 8)
    assert model.generate(PROMPT, n=8) == model.encoder.decode(new) == "".join(model.stream(PROMPT, 8))
    choice = dict(temperature=0.8, top_k=20, seed=3)
    [new] = generate(model.params, model.hparams["n_head"], [ids], 8, Choice(**choice))
    assert model.generate(PROMPT, n=8, **choice) == model.encoder.decode(new)


def test_a_text_ends_before_a_stop(model):
    whole = model.generate(PROMPT, n=20)
    stop = whole[10:14]
    assert model.generate(PROMPT, n=20, stop=stop) == whole[: whole.index(stop)]


def test_logits_are_the_models(model):
    ids = model.encoder.encode(PROMPT)
    logits = model.logits(PROMPT)
    assert logits.shape == (len(ids), model.hparams["n_vocab"])
    np.testing.assert_allclose(logits, gpt2([ids], model.params, model.hparams["n_head"])[0], atol=1e-4)


def test_scores_are_log_probabilities_after_what_begins_a_document(model):
    scored = model.score(PROMPT)
    assert "".join(text for text, _ in scored) == PROMPT
    ids = [model.encoder.start, *model.encoder.encode(PROMPT)]
    probs = softmax(gpt2([ids], model.params, model.hparams["n_head"])[0].astype(np.float64))
    expected = np.log(probs[np.arange(len(ids) - 1), ids[1:]])
    np.testing.assert_allclose([p for _, p in scored], expected, atol=1e-4)
    log_probs = rolling_log_probs(model.params, model.hparams["n_head"], ids)
    np.testing.assert_allclose([p for _, p in scored], log_probs, atol=1e-5)
    assert model.score("") == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(temperature=-1), "temperature must be"),
        (dict(top_p=0), "top_p must be"),
        (dict(n=-1), "new tokens"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_at_once(model, wrong, says):
    with pytest.raises(ValueError, match=says):
        model.stream(PROMPT, **wrong)


def test_importing_picogpt_reads_neither_numpy_nor_the_model():
    """`picogpt.load` is looked up when it is asked for."""
    seen = "import sys, picogpt; print({'numpy', 'picogpt.chat.model'} & set(sys.modules)); picogpt.load"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        _ = picogpt.loads


# ---- conversations --------------------------------------------------------------------------------------


def test_an_answer_continues_the_form_of_all_turns(model):
    chat = model.chat("Q: {user}\nA:", n=6)
    first = "".join(chat.say("Who?"))
    second = "".join(chat.say("Why?"))
    assert chat.turns == [["Who?", first], ["Why?", second]]
    text = f"Q: Who?\nA:{first}\nQ: Why?\nA:"
    assert second == model.generate(text, n=6, stop=["\nQ:"])


def test_the_oldest_turns_leave_whole_when_the_context_is_full(model):
    chat = model.chat("Q: {user}\nA:", n=60)
    for n in range(8):
        "".join(chat.say(f"This is the question number {n}"))
        assert len(chat.encode(chat.template.render(chat.turns))) <= model.hparams["n_ctx"]
    assert 1 < len(chat.turns) < 8
    assert [user[-1] for user, _ in chat.turns] == [str(n) for n in range(8 - len(chat.turns), 8)]


def test_what_alone_is_longer_than_the_context_is_refused_and_not_remembered(model):
    chat = model.chat("Q: {user}\nA:", n=3)
    with pytest.raises(ValueError, match="say less at once"):
        list(chat.say("word " * model.hparams["n_ctx"]))
    assert chat.turns == []


@pytest.mark.parametrize(("more", "left"), [(0, 2), (1, 1)])
def test_a_turn_stays_as_long_as_there_is_room_for_it_and_the_answer_to_the_last_token(model, more, left):
    chat = model.chat("{user}", n=5)
    chat.turns += [["Once upon a time.", " Yes."], ["The end.", ""]]
    n = len(chat.encode(chat.template.render(chat.turns)))
    ids = chat.ids(model.hparams["n_ctx"] - n + more)
    assert (len(ids) == n, len(chat.turns)) == (not more, left)


@pytest.mark.parametrize("more", [0, 1])
def test_what_fills_the_context_exactly_is_taken(model, more):
    chat = model.chat("{user}", n=1)
    n_ctx = model.hparams["n_ctx"]
    [the] = model.encoder.encode(" the")
    chat.turns.append([model.encoder.decode([the] * (n_ctx + more)), ""])
    if more:
        with pytest.raises(ValueError, match=f"this has {n_ctx + 1} tokens, and the model's context {n_ctx}"):
            chat.ids()
    else:
        assert chat.ids() == [the] * n_ctx


def test_a_setting_of_none_is_taken_back_and_no_tokens_are_a_number(model):
    chat = model.chat("{user}", temperature=0.5, top_k=3)
    assert chat.n == 200
    chat.set(n=0, temperature=None)
    assert (chat.n, chat.choice) == (0, dict(top_k=3))
    assert "".join(chat.say(PROMPT)) == ""


def test_an_empty_text_is_what_begins_a_document(model):
    assert model.ids("") == [model.encoder.start] != [0]
    chat = model.chat("{user}")
    chat.turns.append(["", ""])
    assert chat.ids() == [model.encoder.start]


def test_forty_tokens_are_made_if_neither_file_nor_setting_says_how_many(model):
    [new] = generate(model.params, model.hparams["n_head"], [model.encoder.encode(PROMPT)], 40)
    assert model.generate(PROMPT) == "".join(model.stream(PROMPT)) == model.encoder.decode(new)


def test_an_answer_that_nobody_reads_to_its_end_counts_as_far_as_it_came(model):
    chat = model.chat("{user}", n=20)
    answer = chat.say(PROMPT)
    came = next(answer) + next(answer)
    answer.close()
    assert chat.turns == [[PROMPT, came]]


@pytest.mark.parametrize("wrong", [dict(temperature=-1), dict(n=-1), dict(hue=3), dict(top_k=1.5)], ids=str)
def test_a_setting_that_cannot_be_leaves_the_others_as_they_were(model, wrong):
    chat = model.chat("{user}", n=5, temperature=0.5)
    with pytest.raises(ValueError):
        chat.set(**wrong)
    assert (chat.n, chat.choice) == (5, dict(temperature=0.5))


@pytest.mark.parametrize("pattern", ["Hello", "{user} and {user}"])
def test_a_template_needs_one_place_for_the_user(model, pattern):
    with pytest.raises(ValueError, match=r"has \{user\} in it, once"):
        model.chat(pattern)


def test_without_a_template_the_remedy_is_said(model):
    with pytest.raises(ValueError, match=r"tales has no chat template of its own: give one with --template"):
        model.chat()


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MESSAGES = [["Hi", "Hello."], ["Who?", ""]]


def test_a_tokenizers_own_template_is_filled_as_hugging_face_fills_it(tmp_path):
    pytest.importorskip("jinja2", reason='needs jinja2: pip install -e ".[chat]"')
    config = dict(chat_template=CHATML, eos_token={"content": "<|endoftext|>"})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    template = templates.own_template(tmp_path)
    expected = (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template.render(MESSAGES) == expected
    assert template.stops == ("<|im_end|>", "<|endoftext|>")
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[-1].content }}:")
    assert templates.own_template(tmp_path).render(MESSAGES) == "Who?:"  # a file of its own comes first


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("{% for m in messages %}\n  {% if m.content %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n", None),
        (
            "{% for m in messages %}{{ m.role[0] }}{% if not loop.first %}{% break %}{% endif %}{% endfor %}",
            "ua",
        ),
        ("{{ messages | tojson }}", None),
        ("{{ {'b': '<\u00e9>', 'a': 1} | tojson(indent=1) }}", '{\n "b": "<\u00e9>",\n "a": 1\n}'),
    ],
    ids=["spaces", "break", "tojson", "tojson of signs"],
)
def test_a_template_is_filled_as_transformers_fills_it(tmp_path, source, rendered):
    pytest.importorskip("jinja2", reason='needs jinja2: pip install -e ".[chat]"')
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(chat_template=source)))
    found = templates.own_template(tmp_path).render(MESSAGES)
    assert rendered in (None, found)
    if rendered is None:
        utils = pytest.importorskip("transformers.utils.chat_template_utils")
        roles = ("user", "Hi"), ("assistant", "Hello."), ("user", "Who?")
        messages = [dict(role=role, content=content) for role, content in roles]
        [theirs], _ = utils.render_jinja_template(
            [messages], chat_template=source, add_generation_prompt=True
        )
        assert found == theirs


def test_of_several_templates_that_of_the_name_default_is_taken(tmp_path):
    pytest.importorskip("jinja2", reason='needs jinja2: pip install -e ".[chat]"')
    several = [dict(name="tools", template="T"), dict(name="default", template="D")]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(chat_template=several)))
    assert templates.own_template(tmp_path).render(MESSAGES) == "D"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(chat_template=several[:1])))
    assert templates.own_template(tmp_path) is None


def test_an_answer_ends_where_a_template_puts_white_space_alone(tmp_path):
    pytest.importorskip("jinja2", reason='needs jinja2: pip install -e ".[chat]"')
    source = "{% for m in messages %}{{ m.content }}\n\n{% endfor %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(chat_template=source)))
    assert templates.own_template(tmp_path).stops == ("\n\n",)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (b"[]x", "is no JSON object: copy it again"),
        (b"[1]", "is no JSON object: copy it again"),
        (b"7", "is no JSON object: copy it again"),
        (b'{"chat_template": true}', "chat_template that is no text"),
        (b'{"chat_template": {"default": "D"}}', "chat_template that is no text"),
        (b'{"chat_template": [{"name": "default", "template": 3}]}', "chat_template that is no text"),
        (b'{"chat_template": [[], 3]}', None),
        (b'{"chat_template": ""}', None),
    ],
)
def test_a_chat_template_that_is_none_is_one_line(tmp_path, config, says):
    (tmp_path / "tokenizer_config.json").write_bytes(config)
    if says is None:
        assert templates.own_template(tmp_path) is None
    else:
        with pytest.raises(ValueError, match=says):
            templates.own_template(tmp_path)


@pytest.mark.parametrize("fault", ["{{ 'a' + 1 }}", "{{ 1 / 0 }}", "{{ messages[0].content.nothing() }}"])
def test_a_template_that_fails_is_one_line(tmp_path, fault):
    pytest.importorskip("jinja2", reason='needs jinja2: pip install -e ".[chat]"')
    config = dict(chat_template=fault, bos_token=["odd"], eos_token={"content": {}})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="the chat template of this model does not take this"):
        templates.own_template(tmp_path).render(MESSAGES)


def test_jinja_of_a_stranger_can_do_nothing_but_text(tmp_path):
    pytest.importorskip("jinja2", reason='needs jinja2: pip install -e ".[chat]"')
    hostile = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(chat_template=hostile)))
    with pytest.raises(ValueError, match="does not take this"):
        templates.own_template(tmp_path).render(MESSAGES)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(chat_template="{% for %}")))
    with pytest.raises(ValueError, match="cannot be read"):
        templates.own_template(tmp_path)


def test_a_folder_without_a_template_has_none(tmp_path):
    assert templates.own_template(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert templates.own_template(tmp_path) is None
    assert talk.choose_template(None, "{user}") == templates.Pattern("{user}")
