"""The page says what the model says: its data compared in Python, and what a real browser shows of them.

The tests with a browser need playwright (`pip install -e ".[browser]"`) and a Chromium that is installed.
"""

import base64
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from processes import run_python

from picogpt.checkpoints import weights
from picogpt.explain import cli, gather, insides
from picogpt.explain.page import page, write_page
from picogpt.explain.terminal import SHADES
from picogpt.explain.tokens import quoted
from picogpt.generate import keep_top_k, keep_top_p
from picogpt.gpt2 import gpt2
from picogpt.grad import loss_and_grads
from picogpt.ops import softmax
from picogpt.params.init import init_params
from picogpt.params.tree import flatten, tree_map
from picogpt.text.chars import CharEncoder
from picogpt.train.optim import adamw_init, adamw_step

REPOSITORY = Path(__file__).parents[2]
PROMPT, N = "Once upon a time there was a", 6


def run(*argv):
    return run_python("-m", "picogpt.explain", *argv, folder=REPOSITORY)


def read_page(path):
    """Return the data in a page, its arrays as NumPy's."""

    def unpack(tree):
        if "base64" in tree:
            flat = np.frombuffer(base64.b64decode(tree["base64"]), "<" + tree["dtype"])
            return flat.reshape(tree["shape"])
        return tree

    page = path.read_text(encoding="utf-8")
    content = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    return json.loads(content, object_hook=unpack)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of the bundled model, made by the command; its data; and what the model itself says."""
    path = tmp_path_factory.mktemp("explain") / "page.html"
    code, out, err = run(PROMPT, "--n", N, "--out", path)
    assert (code, out) == (0, "")
    assert err.startswith(f"picogpt: {path} is written, ")
    params, hparams, encoder = weights.load("models/tales" if Path("models/tales").is_dir() else "tales")
    data, acts = read_page(path), []
    logits = gpt2([data["ids"]], params, hparams["n_head"], acts=acts)[0]
    return SimpleNamespace(
        path=path, data=data, params=params, hparams=hparams, encoder=encoder, acts=acts, logits=logits
    )


# ---- the data -------------------------------------------------------------------------------------------


def test_the_tokens_are_the_prompts_and_the_likeliest_after_it(made):
    ids, prompt = made.data["ids"], made.encoder.encode(PROMPT)
    assert ids[: len(prompt)] == prompt
    assert made.data["n_prompt"] == len(prompt)
    assert ids[len(prompt) :] == made.logits.argmax(axis=-1)[len(prompt) - 1 : -1].tolist()
    assert bytes.fromhex("".join(made.data["bytes"])).decode() == made.encoder.decode(ids)
    assert "".join(made.data["texts"][str(i)] for i in ids) == made.encoder.decode(ids)
    best = made.logits.argmax(axis=-1).tolist()
    assert made.data["watched"].tolist() == [
        list(pair) for pair in zip([*ids[1:], best[-1]], best, strict=True)
    ]
    assert made.data["temperatures"] == [round(0.05 * n, 2) for n in range(1, 41)]


def test_logits_and_sums_give_the_models_probabilities_at_every_temperature(made):
    """To the 2e-5 by which float32 logits of two processes may differ, which a low temperature multiplies."""
    top = made.data["top"]
    logits = np.take_along_axis(made.logits, top["ids"], axis=-1)
    np.testing.assert_allclose(top["logits"], logits, atol=2e-5, rtol=0)
    for n, temperature in enumerate(made.data["temperatures"]):
        sums = np.exp((top["logits"].astype(float) - top["logits"][:, :1]) / temperature)
        probs = sums / (sums.sum(axis=-1) + np.exp(top["rest"][:, n]))[:, None]
        exact = np.take_along_axis(softmax(made.logits / np.float64(temperature)), top["ids"], axis=-1)
        np.testing.assert_allclose(probs, exact, rtol=4e-5 / temperature, atol=1e-12)


def test_scores_are_the_models_and_vectors_make_them(made):
    T, H = len(made.data["ids"]), made.hparams["n_head"]
    rows, columns = np.tril_indices(T)
    scores = insides.attention_scores(made.params, made.acts)[..., rows, columns]
    np.testing.assert_allclose(made.data["scores"], scores, atol=1e-4)
    q, k, v = (made.data["vectors"][key] for key in "qkv")
    D = made.hparams["n_embd"] // H
    assert q.shape == (made.hparams["n_layer"], H, T, D)
    np.testing.assert_allclose((q @ k.swapaxes(-1, -2) / np.sqrt(D))[..., rows, columns], scores, atol=1e-4)
    np.testing.assert_allclose(v[1], made.acts[1]["v"][0], atol=1e-5)


def test_neurons_are_the_ones_that_fire_most(made):
    neurons = made.data["neurons"]
    for layer, act in enumerate(made.acts[:-1]):
        fired = np.sort(act["gelu"][0], axis=-1)[:, ::-1][:, : gather.NEURONS]
        np.testing.assert_allclose(neurons["values"][layer], fired, atol=1e-5)


def test_a_neurons_effect_is_what_the_logits_lose_without_it_through_a_norm_that_divides_as_before(made):
    layer, t, n = 3, 4, 0
    ids, values, _ = insides.firing(made.params, made.acts, layer, gather.NEURONS)
    x = made.acts[-1]["x"][0, t]
    norm, std = made.params["ln_f"], x.std()
    without = x - values[t, n] * made.params["blocks"][layer]["mlp"]["c_proj"]["w"][ids[t, n]]
    normed = (without - without.mean()) / std * norm["g"] + norm["b"]
    lost = made.logits[t] - normed @ made.params["wte"].T
    watched = made.data["watched"][t]
    np.testing.assert_allclose(made.data["neurons"]["effect"][layer, t, n], lost[watched], atol=2e-3)
    assert set(made.data["neurons"]["promotes"][layer, t, n]) == set(np.argsort(-lost)[:3])


def test_the_way_back_is_the_librarys_gradient_at_every_token(made):
    ids, back, names = made.data["ids"], made.data["back"], made.data["arrays"]
    T, H = len(ids), made.hparams["n_head"]
    for t in (0, 3, T - 2):
        targets = [-1] * T
        targets[t] = ids[t + 1]
        loss, grads = loss_and_grads(
            made.params, [ids], [targets], H
        )  # of the whole text, not of its beginning
        assert back["loss"][t] == pytest.approx(loss, rel=1e-4)
        flat = flatten(grads)
        lengths = [np.linalg.norm(flat[name]) for name in names]
        np.testing.assert_allclose(back["arrays"][t], lengths, rtol=2e-3, atol=1e-6)
        for layer, head in [(0, 0), (2, 3)]:
            own = slice(64 * head, 64 * head + 64)
            attn = grads["blocks"][layer]["attn"]
            into = attn["c_attn"]["w"].reshape(256, 3, 256)[:, :, own]
            both = np.hypot(np.linalg.norm(into), np.linalg.norm(attn["c_proj"]["w"][own]))
            assert back["heads"][t, layer, head] == pytest.approx(both, rel=2e-3)
        layer, n = back["neurons"][t, 0]
        mlp = grads["blocks"][layer]["mlp"]
        both = np.hypot(np.linalg.norm(mlp["c_fc"]["w"][:, n]), np.linalg.norm(mlp["c_proj"]["w"][n]))
        assert back["lengths"][t, 0] == pytest.approx(both, rel=2e-3)


def test_one_step_of_learning_is_the_librarys_step(made):
    ids, H = made.data["ids"], made.hparams["n_head"]
    _, grads = loss_and_grads(made.params, [ids[:-1]], [ids[1:]], H)
    for o, name, r in [(0, "AdamW", 5), (1, "SGD", 4)]:
        rate = made.data["rates"][name][r - 1]
        params = tree_map(np.copy, made.params)
        if name == "AdamW":
            adamw_step(params, tree_map(np.copy, grads), adamw_init(params), 1, rate)
        else:
            params = tree_map(lambda w, g, rate=rate: w - rate * g, params, grads)
        probs = softmax(gpt2([ids[:-1]], params, H)[0])[np.arange(len(ids) - 1), ids[1:]]
        np.testing.assert_allclose(made.data["step"]["probs"][o, r], probs, rtol=2e-2, atol=1e-4)
        for n, prompt in enumerate(made.data["others"]):
            after = softmax(gpt2([made.encoder.encode(prompt)], params, H)[0, -1])
            first = made.data["step"]["likeliest"][o, 0, n]
            assert made.data["step"]["others"][o, r, n, 1] == pytest.approx(after[first], rel=2e-2)
    before = made.data["step"]["probs"][:, 0]
    np.testing.assert_allclose(before[0], made.data["lens"]["watched"][-1, :-1, 0], rtol=1e-4)


@pytest.mark.parametrize(("n_ctx", "known"), [(3, ["abc"]), (2, [])])
def test_a_prompt_that_fills_the_context_is_one_of_the_others(n_ctx, known):
    found = gather.known(CharEncoder("abc"), ["abc", "", "abd"], n_ctx)
    assert [prompt for prompt, _ in found] == known


def test_the_lens_ends_with_the_models_own_answer(made):
    probs, lens = softmax(made.logits), made.data["lens"]
    assert lens["ids"][-1, :, 0].tolist() == made.logits.argmax(axis=-1).tolist()
    best = np.take_along_axis(probs, lens["ids"][-1], axis=-1)
    np.testing.assert_allclose(lens["probs"][-1], best, rtol=1e-4)
    follows = probs[np.arange(len(probs) - 1), made.data["ids"][1:]]
    np.testing.assert_allclose(lens["watched"][-1, :-1, 0], follows, rtol=1e-4)
    np.testing.assert_allclose(lens["watched"][-1, :, 1], probs.max(axis=-1), rtol=1e-4)


def test_shares_add_up_to_one_and_sums_to_the_stream(made):
    stream = made.data["stream"]
    np.testing.assert_allclose(stream["share"].sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(stream["sums"][-1], np.linalg.norm(made.acts[-1]["x"][0], axis=-1), rtol=1e-4)


def test_heads_off_is_the_model_with_these_rows_of_c_proj_zero(made):
    H, ids, ablation = made.hparams["n_head"], made.data["ids"], made.data["ablation"]
    for layer, head in [(0, 1), (2, 3)]:
        w = made.params["blocks"][layer]["attn"]["c_proj"]["w"]
        rows = slice(head * len(w) // H, (head + 1) * len(w) // H)
        before = w[rows].copy()
        w[rows] = 0
        probs = softmax(gpt2([ids], made.params, H)[0])
        w[rows] = before
        watched = np.take_along_axis(probs, made.data["watched"], axis=-1)
        np.testing.assert_allclose(ablation["after"][layer, head], watched, rtol=1e-3, atol=1e-6)
        assert ablation["says"][layer, head].tolist() == probs.argmax(axis=-1).tolist()


def test_a_page_is_under_2_megabytes_for_32_tokens_of_12_layers_of_12_heads():
    """As many numbers as 124M's, and as many texts of the longest kind as there could be."""
    hparams = dict(n_vocab=3072, n_ctx=32, n_embd=72, n_head=12, n_layer=12)
    params = init_params(hparams, np.random.default_rng(0))
    encoder = weights.read_encoder(weights.shipped("tales"), hparams)
    ids = np.random.default_rng(0).integers(2880, size=32).tolist()
    data = gather.gather(params, hparams, encoder, ids, 32, "random")
    named = 32 * (gather.KEPT + 13 * 5 + 144 + 12 * 5 * 3)  # ids whose texts the page has, were none the same
    texts = named * len('"50256":" recommendation",')
    assert len(page(data | dict(texts={}))) + texts < 2_000_000


def test_a_text_that_looks_like_markup_cannot_leave_the_data(tmp_path):
    encoder = CharEncoder.from_text("</script><!-- & {{title}}")
    hparams = dict(n_vocab=encoder.n_vocab, n_ctx=64, n_embd=12, n_head=3, n_layer=2)
    params = init_params(hparams, np.random.default_rng(0))
    ids = encoder.encode("</script><!--")
    data = gather.gather(params, hparams, encoder, ids, 3, "</script>&")
    path = write_page(tmp_path / "page.html", data)
    page = path.read_text(encoding="utf-8")
    assert page.count("</script>") == 2  # the data's and the program's
    assert "<title>Inside &lt;/script&gt;&amp;</title>" in page
    data = read_page(path)
    assert "".join(data["texts"][str(i)] for i in data["ids"]) == "</script><!--"
    assert data["top"]["rest"].max() == -np.inf  # the whole vocabulary is in the page


def test_the_page_loads_nothing(made):
    page = made.path.read_text(encoding="utf-8")
    head = page.split('id="data"')[0]
    assert "default-src 'none'" in head
    assert not re.search(r"<(link|img|iframe|script[^>]*\ssrc)|url\(|@import", head)


# ---- the command ----------------------------------------------------------------------------------------


def test_text_shows_tokens_the_likeliest_and_attention(made):
    code, out, err = run(PROMPT, "--n", N, "--text")
    assert (code, err) == (0, "")
    ids, probs = made.data["ids"], softmax(made.logits)
    lines = out.splitlines()
    for t, i in enumerate(ids):
        words = lines[t + 1].split()
        assert words[:2] == [str(t), str(i)]
        best = probs[t].argmax()
        assert f"  {quoted(made.encoder, best)} {probs[t, best]:.1%}" in lines[t + 1]
    maps = insides.attention_maps(made.params, made.acts).mean(axis=1)
    start = next(n for n, line in enumerate(lines) if "layer 1" in line)
    for t in range(len(ids)):
        drawn = "".join(SHADES[round(9 * np.sqrt(w))] for w in maps[0, t])
        assert lines[start + 1 + t][14 : 14 + len(ids)].rstrip() == drawn.rstrip()


def test_text_shows_half_a_character_by_its_byte_and_a_newline_by_its_escape(made):
    assert [quoted(made.encoder, i) for i in made.encoder.encode("é\n")] == [
        r"'\xc3'",
        r"'\xa9'",
        r"'\n'",
    ]


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["a", "--n", "-1"], 2, "--n must be at least 0 and less than 2**31, not -1"),
        (["a", "--n", "300"], 1, "tokens of the prompt and 300 new ones are more than the 128 that a page"),
        (["a", "--model", "nothing"], 1, "nothing is neither a folder nor a size of GPT-2"),
        (["a", "--out", "no/such/folder.html"], 1, "no/such is missing: make the folder that --out names"),
        (["a", "--out", "."], 1, ". is a folder: --out names the file that is written"),
        (["a", "--threads", "-1"], 2, "--threads must be at least 0 and less than 2**16, not -1"),
    ],
    ids=str,
)
def test_what_cannot_be_explained_is_said(argv, code, says, call_command):
    got, out, err = call_command(cli.explain, *argv)
    assert (got, out) == (code, "")
    assert says in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [(dict(norm="post"), "norm 'post'"), (dict(rms=True), "rms True"), (dict(rezero=True), "rezero True")],
)
def test_a_model_whose_blocks_the_page_cannot_show_is_refused(options, says, tmp_path, call_command):
    hparams = dict(n_vocab=3, n_ctx=8, n_embd=4, n_head=2, n_layer=1) | options
    params = init_params(hparams, np.random.default_rng(0))
    weights.save(tmp_path / "model", params, hparams, CharEncoder("abc"))
    got, out, err = call_command(
        cli.explain, "ab", f"--model={tmp_path / 'model'}", f"--out={tmp_path}/a.html"
    )
    assert (got, out) == (1, "")
    assert f"this model has {says}, and the page is made for blocks that add up" in err
    assert not (tmp_path / "a.html").exists()


def test_an_empty_prompt_begins_a_text_and_open_shows_the_page(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(cli.webbrowser, "open", opened.append)
    cli.explain("", n=0, out=str(tmp_path / "one.html"), open=True)
    assert opened == [(tmp_path / "one.html").as_uri()]
    assert len(read_page(tmp_path / "one.html")["ids"]) == 1


# ---- the browser ----------------------------------------------------------------------------------------


@pytest.fixture
def open_page(browser, made):
    """Return a function that opens the page; what it complains of, or loads, fails the test in the end."""
    contexts, wrong = [], []

    def open_page(path=made.path, width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport=dict(width=width, height=height), color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(150_000)  # on a busy machine
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: request.url != path.as_uri() and wrong.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def expected(logits, temperature, k, p, rule):
    """Return the probabilities of the next token as generate.py has them."""
    if temperature == 0:
        return np.eye(len(logits))[logits.argmax()]
    logits = logits.astype(np.float64)[None] / temperature
    return softmax(keep_top_p(keep_top_k(logits, k), p, rule))[0]


@pytest.mark.parametrize(
    ("temperature", "k", "p", "rule"),
    [(1, 0, 1, "openai"), (0.5, 0, 1, "openai"), (2, 0, 1, "hf"), (0, 0, 1, "openai"), (1, 5, 1, "openai"),
     (0.8, 40, 0.5, "openai"), (0.8, 40, 0.5, "hf"), (0.05, 0, 0.9, "hf"), (1.3, 200, 0.01, "openai")],
)  # fmt: skip
def test_the_sliders_show_what_sampling_would_draw_from(open_page, made, temperature, k, p, rule):
    page = open_page()
    page.locator("#temperature").fill(str(round(temperature * 20)))
    page.locator("#top-k").fill(str(k))
    page.locator("#top-p").fill(str(round(p * 100)))
    page.locator("#next summary").click()
    page.locator("#rule").select_option(rule)
    page.locator("#more").click()
    for t in (0, 4, len(made.data["ids"]) - 1):
        page.locator("#tokens button").nth(t).click()
        rows = page.locator("#next-rows tr").evaluate_all(
            "rows => rows.map(row => [row.dataset.id, row.dataset.p, row.cells[2].textContent])"
        )
        exact = expected(made.logits[t], temperature, k, p, rule)
        assert len(rows) == gather.KEPT + 1
        for i, full, shown in rows[:-1]:
            assert float(full) == pytest.approx(exact[int(i)], abs=2e-6)
            assert shown == ("–" if exact[int(i)] == 0 else f"{100 * float(full):.2f}%")
        others = 1 - sum(exact[int(i)] for i, _, _ in rows[:-1])
        assert float(rows[-1][1]) == pytest.approx(others, abs=2e-5)


def test_where_top_p_cuts_among_tokens_that_are_left_out_the_page_says_so(open_page, made):
    page = open_page()
    page.locator("#tokens button").nth(0).click()
    page.locator("#temperature").fill("40")
    page.locator("#top-p").fill("90")
    says = page.locator("#next-says").inner_text()
    assert "may be off by up to" in says
    exact = expected(made.logits[0], 2, 0, 0.9, "openai")
    shown = page.locator("#next-rows tr").first.get_attribute("data-p")
    off = float(re.search(r"up to ([\d.]+)%", says)[1]) / 100
    assert float(shown) == pytest.approx(exact.max(), rel=2 * off + 1e-5)


def test_hovering_over_a_token_shows_it_in_every_panel_and_leaving_shows_the_chosen_one(open_page, made):
    page, t = open_page(), 3
    chosen = made.data["n_prompt"] - 1
    assert page.locator("#moment").inner_text().startswith(f"After token {chosen},")
    page.locator("#tokens button").nth(t).hover()
    assert page.locator("#moment").inner_text().startswith(f"After token {t},")
    assert page.locator("#box-list li").nth(t).get_attribute("class").endswith("chosen")
    assert page.locator("#next-rows tr").first.get_attribute("data-id") == str(made.logits[t].argmax())
    assert page.locator("#weights li").count() == t + 1
    assert page.locator("#whole thead .chosen").get_attribute("data-t") == str(t)
    last = page.locator("#stream-rows tr").last.locator("td").last.inner_text()
    assert float(last) == pytest.approx(np.linalg.norm(made.acts[-1]["x"][0, t]), abs=0.01)
    page.mouse.move(600, 800)
    assert page.locator("#moment").inner_text().startswith(f"After token {chosen},")


def test_a_head_enlarges_and_its_cells_say_their_weights(open_page, made):
    page, (layer, head), t = open_page(), (1, 2), 6
    page.locator("#tokens button").nth(t).click()
    page.locator(".map").nth(layer * made.hparams["n_head"] + head).click()
    assert page.locator("#head-name").inner_text() == "Layer 2, head 3"
    probs = insides.attention_maps(made.params, made.acts)[layer, head]
    shown = page.locator("#weights li").evaluate_all("items => items.map(item => +item.dataset.weight)")
    np.testing.assert_allclose(shown, probs[t, : t + 1], rtol=1e-3, atol=1e-6)
    frame = page.evaluate("frameOfLarge()")
    x, y = (frame["left"] + n * frame["cell"] for n in (2.5, 4.5))
    page.locator("#large").hover(position=dict(x=x, y=y))
    said = page.locator("#head-says").inner_text()
    assert said.startswith("Token 4,")
    assert " looks at token 2," in said
    assert float(said.split()[-1].rstrip("%")) / 100 == pytest.approx(probs[4, 2], abs=0.003)
    page.locator("#large").click(position=dict(x=x, y=y))
    assert page.locator("#moment").inner_text().startswith("After token 4,")


@pytest.mark.parametrize("watch", [0, 1])
def test_heads_off_and_lens_show_the_watched_token(open_page, made, watch):
    page, t = open_page(), 5
    page.locator("#tokens button").nth(t).click()
    page.locator("#off .watch").select_option(str(watch))
    assert page.locator("#lens .watch").input_value() == str(watch)
    before = made.data["lens"]["watched"][:, t, watch]
    lens = page.locator("#lens-rows td:last-child").all_inner_texts()
    assert lens == [f"{100 * p:.2f}%" for p in before.astype(float)]
    after = made.data["ablation"]["after"][:, :, t, watch]
    shown = [float(cell.replace("−", "-")) for cell in page.locator("#off-table button").all_inner_texts()]
    np.testing.assert_allclose(shown, 100 * (after.astype(float) - before[-1]).ravel(), atol=0.0501)


def test_everything_can_be_done_by_keyboard(open_page, made):
    page, T = open_page(), len(made.data["ids"])
    press = page.keyboard.press

    def focused(what):
        return page.evaluate(f"document.activeElement.{what}")

    for _ in range(30):
        press("Tab")
        if focused("getAttribute('role')") == "radio":
            break
    chosen = made.data["n_prompt"] - 1
    assert focused("getAttribute('aria-label')").startswith(f"token {chosen},")
    keys = dict(ArrowRight=chosen + 1, End=T - 1, ArrowLeft=T - 2, Home=0, ArrowUp=0, ArrowDown=1)
    for key, t in keys.items():
        press(key)
        assert focused("getAttribute('aria-label')").startswith(f"token {t},")
        assert page.locator("#tokens [aria-checked=true]").inner_text().startswith(str(t))
    seen = []
    while focused("tagName") != "BODY":
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        seen.append(focused("id") or focused("className") or focused("tagName"))
        press("Tab")
    wanted = "part says more temperature top-k top-p map watch whole-box optimiser rate unfold SUMMARY"
    assert set(wanted.split()) <= set(seen)
    page.locator(".map").first.focus()
    press("ArrowDown")
    press("ArrowRight")
    assert page.locator("#head-name").inner_text() == "Layer 2, head 2"
    page.locator("#temperature").focus()
    press("ArrowLeft")
    assert page.locator("#temperature-out").inner_text() == "0.95"
    page.locator("#unfold").focus()
    press("Enter")
    assert page.locator("#steps details:not([open])").count() == 0


@pytest.mark.parametrize("width", [320, 390, 800])
def test_nothing_scrolls_sideways_on_a_phone(open_page, width):
    page = open_page(width=width, height=844)
    page.locator("#more").click()
    page.locator("#unfold").click()
    for t in range(3):
        page.locator("#tokens button").nth(t).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_control_and_picture_has_a_name(open_page):
    page = open_page()
    nameless = page.evaluate("""
        [...document.querySelectorAll("button, select, input, [role=img], [role=region], [role=radiogroup]")]
          .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
          .map(e => e.outerHTML)""")
    assert nameless == []
    silent = page.evaluate("""
        [...document.querySelectorAll("canvas, svg")]
          .filter(e => !e.closest("[aria-hidden=true]"))
          .filter(e => !(e.getAttribute("role") === "img" && e.getAttribute("aria-label")))
          .map(e => e.outerHTML)""")
    assert silent == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(open_page, scheme):
    """By 4.5 to 1, as WCAG 2.1 asks in 1.4.3."""
    page = open_page(scheme=scheme)

    def luminance(name):
        style = "getComputedStyle(document.documentElement)"
        colour = page.evaluate(f"{style}.getPropertyValue('--{name}').trim()")
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    assert (luminance("paper") < 0.5) == (scheme == "dark")
    pairs = itertools.product(("ink", "soft", "accent", "less"), ("paper", "wash"))
    for front, back in [*pairs, ("on-accent", "accent")]:
        low, high = sorted((luminance(front), luminance(back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (front, back)


def test_a_single_token_of_a_model_of_characters_is_shown_too(open_page, tmp_path):
    encoder = CharEncoder.from_text("ab\n\t<é")
    hparams = dict(
        n_vocab=6, n_ctx=8, n_embd=12, n_head=3, n_layer=2, time_weighting="full", positions="none"
    )
    params = init_params(hparams, np.random.default_rng(0))
    data = gather.gather(params, hparams, encoder, [2], 1, "chars")
    page = open_page(write_page(tmp_path / "page.html", data))
    assert page.locator("#next-rows tr").count() == 6
    assert "time-weighting" in page.locator("#weighted").inner_text()


def test_a_part_of_the_drawing_leads_to_its_panel(open_page, made):
    page = open_page()
    parts = page.locator("#drawing .block > .part")
    assert parts.count() == 2 * made.hparams["n_layer"]
    parts.nth(4).focus()  # attention of layer 3
    page.keyboard.press("Enter")
    assert page.url.endswith("#walk")
    assert page.locator("#head-name").inner_text().startswith("Layer 3, head ")
    assert page.locator("#walk-name").inner_text().endswith(page.locator("#head-name").inner_text().lower())
    says = page.locator("#drawing-says").text_content()
    assert f"{made.hparams['n_layer']} layers follow" in says
    shown = page.locator("#drawing .answer small").all_inner_texts()
    best = np.sort(softmax(made.logits[made.data["n_prompt"] - 1]))[::-1][:5]
    assert shown == [f"{100 * p:.1f}%" for p in best.astype(float)]


def test_the_walk_ends_with_what_the_head_puts_out_and_names_lines_of_the_source(open_page, made):
    page, layer, head, t = open_page(), 2, 1, 5
    page.locator("#tokens button").nth(t).click()
    page.evaluate(f"enlarge({layer}, {head})")
    source = (REPOSITORY / "picogpt" / "ops.py").read_text(encoding="utf-8").splitlines()
    for n, count in enumerate([0, 1, 1, 3, 1]):
        page.locator("#walk-steps button").nth(n).click()
        lines = page.locator("#walk-line code").all_inner_texts()
        assert len(lines) == count
        for line in lines:
            place, _, text = line.partition(" ")
            assert source[int(place.removeprefix("ops.py:")) - 1].strip() == text
    out = json.loads(page.locator("#walk-table").get_attribute("data-out"))
    heads = made.acts[layer]["heads"][0, t].reshape(made.hparams["n_head"], -1)
    np.testing.assert_allclose(out, heads[head], rtol=1e-3, atol=1e-4)
    row = page.locator("#walk-table tbody tr[data-s='2']").locator("td").all_inner_texts()
    score = insides.attention_scores(made.params, made.acts)[layer, head, t, 2]
    assert float(row[2].replace("−", "-")) == pytest.approx(score, abs=0.011)


def test_the_way_back_shows_the_gradients_of_the_data(open_page, made):
    page, t = open_page(), 4
    page.locator("#tokens button").nth(t).click()
    loss = made.data["back"]["loss"][t]
    assert f"= {loss:.3f} nats" in page.locator("#back-loss").inner_text()
    shown = page.locator("#back-tokens li").evaluate_all(
        "items => items.map(item => +item.dataset.relevance)"
    )
    begin = t * (t + 1) // 2
    np.testing.assert_allclose(shown, made.data["back"]["relevance"][begin : begin + t + 1], rtol=1e-5)
    largest = made.data["arrays"][made.data["back"]["arrays"][t].argmax()]
    assert page.locator("#back-arrays th").first.inner_text() == largest
    lengths = made.data["back"]["stream"][:, begin : begin + t + 1]
    shown = [float(x) for x in page.locator("#back-stream td.number").all_inner_texts()]
    np.testing.assert_allclose(shown[::-1], np.sqrt((lengths**2).sum(axis=1)), rtol=6e-3)


def test_the_slider_of_the_learning_rate_shows_before_and_after(open_page, made):
    page = open_page()
    page.locator("#optimiser").select_option("SGD")
    page.locator("#rate").fill("4")
    rows = page.locator("#step-rows tr").evaluate_all(
        "rows => rows.map(r => [+r.dataset.before, +r.dataset.after])"
    )
    np.testing.assert_allclose(np.transpose(rows), made.data["step"]["probs"][1, [0, 4]], rtol=1e-5)
    assert page.locator("#rate-out").inner_text() == str(made.data["rates"]["SGD"][3])
    page.locator("#rate").fill("0")
    assert "0, no step" in page.locator("#rate-out").inner_text()


SIZES = [(12, 12, 128, 64, 1), (2, 4, 50, 64, 62), (1, 2, 3, 4, 4)]


@pytest.mark.parametrize(("n_layer", "n_head", "T", "D", "d"), SIZES)
def test_of_queries_keys_and_values_a_page_has_as_many_numbers_as_fit(n_layer, n_head, T, D, d):
    heads = np.arange(n_head * T * D, dtype=float).reshape(1, n_head, T, D)
    acts = [
        dict(ln_1=np.empty((1, T, n_head * D)), q=heads + n, k=-heads, v=2 * heads) for n in range(n_layer)
    ]
    found = gather.vectors([*acts, {}], n_head)
    assert {array.shape for array in found.values()} == {(n_layer, n_head, T, d)}
    assert sum(array.nbytes for array in found.values()) <= 300_000
    np.testing.assert_array_equal(found["q"][-1], heads[0, ..., :d] + n_layer - 1)
    np.testing.assert_array_equal(found["v"][0], 2 * heads[0, ..., :d])
