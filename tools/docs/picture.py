"""Make docs/explain.png: the attention of the bundled model, as the page of `picogpt.explain` shows it.

usage: python tools/docs/picture.py [--out FILE]

Needs playwright (`pip install -e ".[browser]"`) and an installed Chromium.

  --out FILE          the picture (docs/explain.png)
"""

import shutil
import tempfile
from pathlib import Path

from picogpt.explain import cli as explain
from picogpt.system import command

PROMPT = "There was once a king who had a daughter, and the king said to the"


def picture(*, out: str = "docs/explain.png"):
    """Write the picture, as the docstring of this module says."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "page.html")
        explain.explain(PROMPT, n=0, out=str(path))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=1000, height=900), device_scale_factor=1.5)
        page.goto(path.as_uri())
        page.locator("#attention .pair").screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    command.run(picture)
