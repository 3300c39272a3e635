"""The served page: who is answered and who is not, what a prompt may hold, and a model that learns.

The tests with a browser need playwright (`pip install -e ".[browser]"`) and a Chromium that is installed.
"""

import http.client
import json
import re
import shutil
import threading
import time
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from picogpt.checkpoints import weights
from picogpt.explain import cli
from picogpt.explain import live as live_module
from picogpt.explain.learning import Learning, Turns
from picogpt.explain.live import Asked, Live, serve
from picogpt.explain.prompts import OTHERS
from picogpt.generate import Choice, generate
from picogpt.gpt2 import gpt2
from picogpt.ops import softmax
from picogpt.train.journal import read_log

PROMPT = OTHERS[0]
HOSTILE = '</script><img src=x onerror="hit = 1">\n& "q" é \\u003c {{data}} <!-- <svg onload=alert(1)>'
TEXT = "the cat sat on the mat, and the dog sat on the log. " * 60


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server of the bundled model, and of one that learns a text; n_layer and steps are the default's.

    What was gathered of a text is remembered, as it takes a second, and the usual one is asked for often.
    """
    found, gather = {}, live_module.gather

    def gather_once(params, hparams, encoder, ids, *others):
        key = (*ids, *others)
        if key not in found:
            found[key] = gather(params, hparams, encoder, ids, *others)
        return found[key]

    folder = tmp_path_factory.mktemp("live")
    text = folder / "text.txt"
    text.write_text(TEXT)
    params, hparams, encoder = weights.load_with_encoder("tales")
    live = Live(params, hparams, encoder, "tales", Asked(PROMPT, n=3))
    live.learn_from(cli.begin_learning(str(text), str(folder / "run")))
    server, address = serve(live)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_module, "gather", gather_once)
        yield SimpleNamespace(
            live=live,
            address=address,
            path=urlsplit(address).path,
            port=server.server_port,
            folder=folder,
            text=text,
        )
    server.shutdown()
    server.server_close()
    live.learning.end()


def ask(served, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
    headers = {"Host": f"127.0.0.1:{served.port}"} | {name.title(): value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return SimpleNamespace(code=answer.status, content=content, headers=dict(answer.headers))


def data_of(page):
    content = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    return json.loads(content)


# ---- who is answered ------------------------------------------------------------------------------------


def test_only_the_secret_address_is_answered(served):
    near = [served.path[:-2] + "/", served.path + "x", served.path[:-1]]
    for path in ["/", "/index.html", "/etc/passwd", "/../../etc/passwd", *near]:
        answer = ask(served, path)
        assert (answer.code, answer.content) == (404, "there is nothing here")
    assert len(served.path) > 30
    other, address = serve(served.live)
    other.server_close()
    assert address.split("/")[3] != served.path.strip("/")  # another each time


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_browser_that_was_led_here_by_another_name_is_refused(served, host):
    answer = ask(served, served.path, host=host.format(port=served.port))
    assert answer.code == 403
    assert "Inside" not in answer.content


def test_it_listens_on_this_machine_alone(served):
    server, address = serve(served.live)
    server.server_close()
    assert server.server_address[0] == "127.0.0.1"
    assert address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
def test_another_site_cannot_start_the_learning(served, origin):
    headers = {} if origin is None else dict(origin=origin)
    answer = ask(served, served.path + "learning", "POST", '{"what": "start"}', **headers)
    assert answer.code == 403
    assert not served.live.learning.may_go.is_set()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_else_is_done(served, method):
    assert ask(served, served.path, method).code == 501


def test_no_other_page_may_read_frame_or_keep_it(served):
    headers = ask(served, served.path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers.get("Server", "")


# ---- what is answered -----------------------------------------------------------------------------------


def test_an_address_with_a_prompt_is_answered_with_its_page(served):
    live = served.live
    data = data_of(ask(served, f"{served.path}?prompt={quote('The old woman')}&n=4").content)
    ids = live.encoder.encode("The old woman")
    assert data["ids"] == ids + generate(live.params, live.hparams["n_head"], [ids], 4)[0]
    assert data["n_prompt"] == len(ids)


def test_an_address_with_ids_goes_on_from_them_at_its_temperature(served):
    live, ids = served.live, served.live.encoder.encode("The old woman")
    path = f"{served.path}?ids={','.join(map(str, ids))}&n=5&temperature=0.9"
    data = data_of(ask(served, path).content)
    choice = Choice(temperature=0.9, seed=0)
    assert data["ids"] == ids + generate(live.params, live.hparams["n_head"], [ids], 5, choice)[0]
    assert data["live"]["prompt"] == "The old woman"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("n=-1", "n must not be negative, as is -1"),
        ("n=many", "n cannot be 'many'"),
        ("temperature=-1", "temperature must be 0 (greedy) or a positive number, not -1.0"),
        ("ids=1,99999", "token id 99999 is not in this model's vocabulary"),
        ("ids=1,x", "ids cannot be '1,x'"),
        ("n=500", "500 new ones are more than the 128 that a page can show"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_said_on_the_page(served, query, says):
    answer = ask(served, f"{served.path}?{query}")
    assert answer.code == 400
    data = data_of(answer.content)
    assert says in data["live"]["says"]
    assert data["n_prompt"] == len(served.live.encoder.encode(PROMPT))


def test_a_hostile_prompt_stays_text(served):
    page = ask(served, f"{served.path}?prompt={quote(HOSTILE)}&n=0").content
    assert page.count("</script>") == 2
    assert data_of(page)["live"]["prompt"] == HOSTILE


# ---- the learning ---------------------------------------------------------------------------------------


def tell(served, **what):
    origin = f"http://127.0.0.1:{served.port}"
    answer = ask(served, served.path + "learning", "POST", json.dumps(what), origin=origin)
    return answer.code, json.loads(answer.content)


def test_nothing_is_written_before_the_first_step(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    learning = cli.begin_learning(str(text), str(tmp_path / "run"))
    assert isinstance(learning, Learning)
    assert not (tmp_path / "run").exists()
    learning.end()
    assert not (tmp_path / "run").exists()


def test_a_step_is_made_when_it_is_asked_for_and_its_gradient_is_reported(served):
    before = json.loads(ask(served, served.path + "learning").content)
    code, after = tell(served, what="step")
    assert (code, after["step"], after["running"]) == (200, before["step"] + 1, False)
    assert after["curve"][-1][0] == after["step"]
    names = [name for name, _ in after["lengths"]["arrays"]]
    assert "blocks.3.mlp.c_fc.w" in names
    log = read_log(served.folder / "run" / "log.jsonl")
    norm = np.linalg.norm([x for _, x in after["lengths"]["arrays"]])
    assert log[-1]["norm"] == pytest.approx(norm, rel=1e-4)  # of that very step, before it was clipped


def test_the_slider_sets_the_rate_of_the_next_step(served):
    assert tell(served, what="rate", value=0.004)[1]["rate"] == 0.004
    tell(served, what="step")
    assert read_log(served.folder / "run" / "log.jsonl")[-1]["lr"] <= 0.004
    for value in (0, -1, 2, "x", None):
        code, answer = tell(served, what="rate", value=value)
        assert code == 400 and "learning rate" in answer["error"]
    tell(served, what="rate", value=0.002)


@pytest.mark.parametrize("what", [dict(what="format the disk"), dict(which=1), [1], "x"], ids=str)
def test_what_is_no_order_is_refused(served, what):
    origin = f"http://127.0.0.1:{served.port}"
    answer = ask(served, served.path + "learning", "POST", json.dumps(what), origin=origin)
    assert answer.code == 400
    assert not served.live.learning.may_go.is_set()


def test_who_waits_for_the_model_gets_it_although_another_takes_it_again_and_again():
    turns, taken, is_over = Turns(), [], threading.Event()

    def take_always():
        while not is_over.is_set():
            with turns:
                taken.append("always")

    threads = [threading.Thread(target=take_always, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        with turns:
            before = len(taken)
            other = threading.Thread(target=lambda: turns.__enter__() or taken.append("once"))
            other.start()
            while len(turns.queue) < 4:  # the holder, the two, and this one
                time.sleep(0.0001)
        other.join()
        at = taken.index("once", before)
        turns.__exit__()
        assert at - before <= 2
    is_over.set()
    for thread in threads:
        thread.join()


def test_it_runs_until_it_is_paused_and_leaves_a_training_that_resumes(served, tmp_path):
    from processes import run_python

    learning = served.live.learning
    before = learning.state["step"]
    tell(served, what="start")
    while learning.state["step"] < before + 5:
        threading.Event().wait(0.05)
    tell(served, what="pause")
    with learning.computing:
        learning.save()
    folder = tmp_path / "run"
    shutil.copytree(served.folder / "run", folder)
    step = learning.state["step"]
    done = run_python("-m", "picogpt.train", served.text, "--resume", "--out", folder, "--eval_only")
    assert done.code == 0
    assert f"step {step}: training loss" in done.err
    params, hparams, encoder = weights.load(folder)
    assert encoder.decode(encoder.encode("cat")) == "cat"
    assert np.isfinite(gpt2([[0]], params, hparams["n_head"])).all()


# ---- the browser ----------------------------------------------------------------------------------------


@pytest.fixture
def page(browser, served):
    context, wrong = browser.new_context(), []
    context.set_default_timeout(150_000)  # on a busy machine
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: request.url.startswith(served.address) or wrong.append(request.url))
    page.goto(served.address)
    yield page
    context.close()
    assert wrong == []


def test_a_prompt_that_is_typed_shows_its_page_whatever_it_holds(page, served):
    page.locator("#prompt").fill(HOSTILE)
    page.locator("#ask-n").fill("0")
    with page.expect_navigation():
        page.locator("#prompt").press("Enter")
    assert page.evaluate("data.ids") == served.live.encoder.encode(HOSTILE)
    assert page.locator("#prompt").input_value() == HOSTILE
    assert page.evaluate("window.hit") is None


def test_a_click_on_another_token_goes_on_from_there_and_back_leads_back(page, served):
    live, first = served.live, page.evaluate("data.ids")
    page.locator("#tokens button").nth(1).click()
    link = page.locator("#next-rows [data-id] a").nth(3)
    chosen = int(page.locator("#next-rows [data-id]").nth(3).get_attribute("data-id"))
    with page.expect_navigation():
        link.click()
    ids = [*first[:2], chosen]
    assert page.evaluate("data.ids") == ids + generate(live.params, live.hparams["n_head"], [ids], 3)[0]
    probs = softmax(gpt2([first[:2]], live.params, live.hparams["n_head"])[0, -1])
    assert probs.argsort()[::-1][3] == chosen
    page.go_back()
    assert page.evaluate("data.ids") == first


def test_a_model_learns_step_by_step_in_the_page(page, served):
    step = served.live.learning.state["step"]
    page.get_by_role("button", name="one step").click()
    expect(page.locator("#learning [role=status]"), f"Step {step + 1} ")
    assert page.locator("#back-live h3").inner_text().startswith(f"Step {step + 1} of the model that learns")
    assert page.locator("#learning .of-attention canvas").count() == 16
    page.get_by_role("button", name="learn", exact=True).click()
    while served.live.learning.state["step"] < step + 4:
        page.wait_for_timeout(50)
    page.get_by_role("button", name="pause").click()
    page.get_by_role("button", name="learn", exact=True).click(trial=True)  # it can be pressed again
    assert not served.live.learning.may_go.is_set()


def expect(locator, text):
    """Wait until an element begins with a text. Playwright's own waiting needs eval, which is forbidden."""
    for _ in range(1000):
        if locator.inner_text().startswith(text):
            return
        locator.page.wait_for_timeout(50)
    raise AssertionError(locator.inner_text())


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_scrolls_sideways(page, width):
    page.set_viewport_size(dict(width=width, height=844))
    assert page.locator("#learning").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
