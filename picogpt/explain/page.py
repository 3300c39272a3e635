"""The page: the parts in web/ put together, with the data in them."""

import html
import json
from pathlib import Path

from picogpt.system.files import atomic_write, read_text

WEB = Path(__file__).with_name("web")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
ALONE, SERVED = POLICY + "form-action 'none'", POLICY + "form-action 'self'; connect-src 'self'"
# The scripts, in the order in which they run: each uses only what stands before it.
SCRIPTS = (
    "data helpers tokens model next attention walk neurons lens back step stream off source notes live"
    " learning main"
)


def page(data, policy=ALONE):
    """Return the whole page as text: it needs nothing else, and `policy` forbids it to load anything."""
    template, style = (read_text(WEB / name) for name in ("page.html", "style.css"))
    scripts = "\n".join(read_text(WEB / f"{name}.js") for name in SCRIPTS.split())
    parts = dict(
        policy=policy,
        title=html.escape(f"Inside {data['model']['name']}"),
        style=style,
        scripts=scripts,
        data=as_json(data),
    )
    head, *rest = template.split("{{")
    filled = [part.split("}}", 1) for part in rest]
    return head + "".join(parts[name] + text for name, text in filled)


def as_json(data):
    """Return data as JSON in which no text, whatever it is, can end a script."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def write_page(path, data):
    """Write the page to a file and return its path."""
    with atomic_write(Path(path)) as file:
        file.write(page(data).encode())
    return Path(path)
