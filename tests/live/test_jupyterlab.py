"""JupyterLab as a person uses it: a real browser opens the notebooks, runs all cells, and reads the verdict.

The browser is driven by Chromium's own debugging port, with mouse and keyboard, not through JupyterLab's insides.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import websocket

from runbook import lab, sections

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# What a person would have answered long ago, and no saving: the exemplars under notebooks/ stay as they are.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


@dataclass
class Browser:
    """One page of a Chromium; what is not there in time fails with what is shown instead."""

    socket: websocket.WebSocket
    pictures: Path
    sent: int = 0
    log: list[str] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> Any:
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Page.javascriptDialogOpening":  # "Leave site?", while something is not saved
                leave = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                self.socket.send(json.dumps(leave))
            if answer.get("id") == self.sent:
                assert "error" not in answer, answer
                return answer["result"]

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> Any:
        """Until the expression is true."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if value := self.ask(expression):
                return value
            time.sleep(0.2)
        self.picture("late")
        pytest.fail(
            f"not within {seconds} s: {expression}; the page says: {self.ask('document.body.innerText')[:3000]}"
        )

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def click(self, found: str, count: int = 1) -> None:
        """Click in the middle of what the expression finds: an element, or a range of text."""
        at = self.wait(
            f"""(() => {{
            const found = {found};
            if (!found) return null;
            (found.startContainer?.parentElement ?? found).scrollIntoViewIfNeeded();
            const box = found.getBoundingClientRect();
            return box.width ? [box.x + box.width / 2, box.y + box.height / 2] : null;
            }})()"""
        )
        for kind, held in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], buttons=held, clickCount=count,
                button="none" if kind == "mouseMoved" else "left",
            )  # fmt: skip

    def replace_word(self, start: str, word: str, by: str) -> None:
        """Go to the top, double-click a word in the last line of code that starts so, and type over it."""
        self.ask("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")  # cells out of sight are not there
        time.sleep(1)
        self.click(
            f"""(() => {{
            const lines = [...document.querySelectorAll('.jp-Notebook .cm-line')];
            const line = lines.filter(one => one.innerText.startsWith({start!r})).pop();
            if (!line) return null;
            const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
            for (let text; text = texts.nextNode();) {{
                const at = text.data.indexOf({word!r});
                if (at < 0) continue;
                const range = document.createRange();
                range.setStart(text, at);
                range.setEnd(text, at + {len(word)});
                return range;
            }}
            return null;
            }})()""",
            count=2,
        )
        self.call("Input.insertText", text=by)

    def picture(self, name: str) -> Path:
        file = self.pictures / f"{name}.png"
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return file


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A headless Chromium with a profile of its own."""
    if CHROMIUM is None:
        pytest.fail("no Chromium: `make lab-packages` installs it")
    profile, pictures = tmp_path / "profile", Path(os.environ.get("PICTURES") or tmp_path / "pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
         f"--user-data-dir={profile}", "--window-size=1400,1000", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = int(_until(lambda: _text(profile / "DevToolsActivePort")).splitlines()[0])
        page = _until(lambda: _page(port))
        socket = websocket.create_connection(page, suppress_origin=True, timeout=120)
        made = Browser(socket, pictures)
        made.call("Page.enable")
        yield made
        socket.close()
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def jupyter(command: list[str], tmp_path: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """A running JupyterLab: its address with the token in it, and what it has said so far."""
    settings = tmp_path / "settings"
    for name, values in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }
    said = tmp_path / "jupyter.log"
    with said.open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _until(lambda: _address(said.read_text())), said.read_text
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # the group is this JupyterLab's own
            process.wait(10)
            raise
    with pytest.raises(ProcessLookupError):  # nothing of it outlives the command
        _until(lambda: os.killpg(process.pid, 0), 10)


def _until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := ask():
            return value
        time.sleep(0.1)
    return pytest.fail(f"nothing within {seconds} s")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _page(port: int) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:  # our own browser
        pages = [page for page in json.load(answer) if page["type"] == "page"]
    return pages[0]["webSocketDebuggerUrl"] if pages else None


def _address(said: str) -> str | None:
    found = re.search(r"http://127\.0\.0\.1:\d+/lab\S*\?token=\w+", said)
    return found[0] if found else None


def run_all(browser: Browser) -> None:
    """Run > Run All Cells, by the menu."""
    browser.wait("!!document.querySelector('.jp-Notebook .jp-CodeCell')", 90)
    browser.click("document.querySelector('.lm-DockPanel-tabBar .lm-TabBar-tab.lm-mod-current')")  # its status is shown
    browser.wait("document.querySelector('#jp-main-statusbar').innerText.includes('| Idle')", 90)
    item = "[...document.querySelectorAll('.lm-MenuBar-item')].find(i => i.innerText.trim() === 'Run')"
    browser.click(item)
    browser.click("document.querySelector('.lm-Menu-item[data-command=\"runmenu:run-all\"]')")
    time.sleep(1)
    if browser.ask("!!document.querySelector('.jp-Dialog .jp-mod-accept')"):
        browser.click("document.querySelector('.jp-Dialog .jp-mod-accept')")  # the kernel that it suggests


def verdict_of(browser: Browser, mode: str) -> str:
    """The verdict's banner once the last cell has ended; it tells the mode as well."""
    said = f"[...document.querySelectorAll('.rb .verdict')].map(v => v.innerText).find(t => t.includes({mode!r}))"
    return str(browser.wait(said, 180))


@pytest.fixture
def server(busy_up: Any) -> lab.Server:
    """A server that has no Dovecot yet."""
    made: lab.Server = busy_up("debian12")
    return made


def test_start_here_lists_the_servers(server: lab.Server, browser: Browser, tmp_path: Path) -> None:
    before = (ROOT / "notebooks/00_start_here.ipynb").read_bytes()
    command = [sys.executable, "-m", "jupyterlab", "notebooks/00_start_here.ipynb", "--no-browser", "--allow-root"]
    with jupyter(command, tmp_path) as (address, _):
        browser.open(address.replace("/lab?", "/lab/tree/00_start_here.ipynb?"))  # a browser of its own opens that
        run_all(browser)
        browser.wait(f"[...document.querySelectorAll('.rb td')].some(cell => cell.innerText === {server.name!r})")
        browser.picture("start")
        links = browser.ask("[...document.querySelectorAll('.jp-RenderedMarkdown a')].map(link => link.innerText)")
        assert "01 Pre-flight" in links
        browser.click(
            "[...document.querySelectorAll('.jp-RenderedMarkdown a')].find(a => a.innerText === '01 Pre-flight')"
        )
        browser.wait("[...document.querySelectorAll('h1')].some(h => h.innerText.startsWith('Pre-flight'))")
    assert (ROOT / "notebooks/00_start_here.ipynb").read_bytes() == before


def test_stepping_through_a_record(server: lab.Server, browser: Browser, tmp_path: Path) -> None:
    """Every section by Run All, in plan mode and, after the mode was typed over, in apply mode."""
    records = ["--records", str(tmp_path / "records")]
    command = [sys.executable, "-m", "runbook", "open", server.name, "--no-browser", *records]
    names = [section.name for section in sections.pick(ROOT)]
    with jupyter(command, tmp_path) as (address, said):
        record = Path(re.findall(r"^record +(\S+)$", said(), re.MULTILINE)[0])
        for name in names:
            browser.open(address.replace("/lab?", f"/lab/tree/{name}.ipynb?reset&"))  # the tabs before it are closed
            run_all(browser)
            planned = verdict_of(browser, "planned").lower()
            assert planned.startswith("as-wanted" if name in (names[0], names[-1]) else "pending:"), (name, planned)
            browser.picture(f"{name}-plan")
            if name == names[0]:
                assert server.hostname in browser.ask("document.body.innerText")
            browser.replace_word("mode =", "plan", "apply")
            run_all(browser)
            made = verdict_of(browser, "made").lower()
            assert made.startswith("as-wanted:"), (name, made)
            browser.picture(f"{name}-apply")
            browser.click(
                "document.querySelector('.jp-NotebookPanel "
                '.jp-ToolbarButtonComponent[data-command="docmanager:save"]\')'
            )
            _until(lambda name=name: re.search(r"\d changes? made", (record / f"{name}.ipynb").read_text()))
            if name == names[0]:
                assert server.run("command -v dovecot").rc != 0, "preflight changes nothing"
    for words in (["close", str(record)], ["verify", str(record)]):
        done = subprocess.run(
            [sys.executable, "-m", "runbook", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((record / "manifest.json").read_text())
    assert [(section["name"], section["verdict"]) for section in manifest["sections"]] == [
        (name, "as-wanted") for name in names
    ]
    assert server.run("doveconf -h ssl").out.strip() == "required"
