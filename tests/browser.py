"""The notebooks in JupyterLab, in a real browser: `python -m tests.browser`.

Kernels and files are tested in the suite; what is left is what people see. This opens each notebook as somebody would
who has just got it: JupyterLab with no settings, a browser with no history, a notebook that nobody has trusted yet.

1. Untrusted, light and dark: every committed picture is painted.
2. Run > Run All Cells, from the menu, and then once more in the same kernel: every cell comes to its end, none with an
   error but those that must; nothing is on standard error, and no cell shows more than it did, because of what came
   later.
3. In notebook 04, the arrow key on a slider: the picture changes. So it does in notebook 11, in its editor.
4. Trusted, light and dark: screenshots, to be looked at by people; where they are is printed.

It is a command of its own because it needs five minutes, Debian's `chromium` and `chromium-driver`, and `pip install
jupyterlab selenium`. Everything is on the loopback interface and in a temporary folder; what it starts, it ends.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import nbformat

from . import notebooks

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    HAS_SELENIUM = False
else:
    HAS_SELENIUM = True

T = TypeVar("T")

WITH_SLIDERS = "04_tuning_the_delay"

WITH_EDITOR = "11_playground"

WIDTH = 1400

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # it covers the picture
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are there, also those out of sight
}

PAINTED = """
const pictures = [...document.querySelectorAll('.jp-Notebook .jp-OutputArea img')];
return [pictures.length, pictures.filter(picture => picture.complete && picture.naturalWidth > 0).length];
"""

HEIGHT = "return document.querySelector('.jp-WindowedPanel-outer').scrollHeight"

TO_THE_TOP = "document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0"

PROMPTS = """
return [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.innerText);
"""

HANDLE = "return document.querySelector('.nb-playground [data-key=aaaa]')"
ITS_RACE = "return document.querySelector('.nb-playground img')?.alt ?? null"

MENU = "//*[contains(@class,'lm-MenuBar-item')][normalize-space()='{}']"

SLIDER = "document.querySelector('.jp-Notebook .widget-slider')"
FIRST_SLIDER = f"return {SLIDER}.querySelector('.noUi-handle')"
ITS_PICTURE = f"return {SLIDER}.closest('.widget-interact').querySelector('.jp-OutputArea img')?.alt ?? null"


def missing() -> list[str]:
    """Name what has to be installed first."""
    packages = [] if importlib.util.find_spec("jupyterlab") else ["jupyterlab"]
    packages += [] if HAS_SELENIUM else ["selenium"]
    programs = [package for package, name in DEBIAN.items() if shutil.which(name) is None]
    commands = [f"pip install {' '.join(packages)}"] if packages else []
    return commands + ([f"apt-get install {' '.join(programs)}"] if programs else [])


DEBIAN = {"chromium": "chromium", "chromium-driver": "chromedriver"}


class Lab:
    """A JupyterLab that runs, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "notebooks"
        self._settings = folder / "settings" / "@jupyterlab"
        self._signatures = folder / "data" / "nbsignatures.db"
        self._runtime = folder / "runtime"
        self._token = secrets.token_hex()
        self._environment = os.environ | {
            "HOME": str(folder),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        }
        self._log = folder / "lab.log"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it, for a `with` block."""
        self.root.mkdir()
        self.forget()
        self.settle(dark=False)
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--IdentityProvider.token={self._token}", f"--ServerApp.root_dir={self.root}"]
        with self._log.open("w") as log:
            server = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                info = self._runtime / f"jpserver-{server.pid}.json"
                wait_for(lambda: server.poll() is not None or info.exists(), f"JupyterLab, see {self._log}")
                self._url = json.loads(info.read_text("utf-8"))["url"]
                yield
            finally:
                server.terminate()
                server.wait(30)

    def forget(self) -> None:
        """Have the notebooks as they were committed, and trust none of them."""
        self._signatures.unlink(missing_ok=True)
        for source in notebooks.sources():
            shutil.copy(source.with_suffix(".ipynb"), self.root)

    def settle(self, *, dark: bool) -> None:
        """Choose the theme, and write the settings that a test needs."""
        theme = "JupyterLab Dark" if dark else "JupyterLab Light"
        for name, values in (SETTINGS | {"apputils-extension/themes": {"theme": theme}}).items():
            path = self._settings / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), "utf-8")

    def address_of(self, name: str) -> str:
        """Return where a notebook is; nothing that was open before is opened again."""
        return f"{self._url}lab/tree/{name}.ipynb?reset&token={self._token}"


class Browser:
    """A browser with no history."""

    def __init__(self, driver: Any, pictures: Path) -> None:
        self._driver = driver
        self._pictures = pictures
        self._expected = 0

    def open(self, address: str, pictures: int) -> None:
        """Open a notebook, and wait until so many pictures are painted."""
        self._expected = pictures
        self._driver.set_window_size(WIDTH, 1000)
        self._driver.get(address)
        wait_for(lambda: self.says(PROMPTS), "the cells")
        self.wait_for_pictures()

    def says(self, script: str) -> Any:
        """Ask the page."""
        return self._driver.execute_script(script)

    def wait_for_pictures(self) -> None:
        """Wait until every picture is painted."""
        wait_for(lambda: (counts := self.says(PAINTED))[0] == counts[1] >= self._expected, "the pictures")

    def run_all(self, count: int) -> None:
        """Choose Run All Cells from the menu, and wait for the last; `count` have been run then, in this kernel."""
        self.click(MENU.format("Run"))
        self.click("//li[@data-command='runmenu:run-all']")
        wait_for(lambda: self.says(PROMPTS)[-1:] == [f"[{count}]:"], f"cell {count}: {self.says(PROMPTS)}")
        self.wait_for_pictures()

    def turn_dark(self) -> None:
        """Choose the dark theme from the menu: what a reload would show of widgets is JupyterLab's business."""
        self.click(MENU.format("Settings"))
        self.click("//li[@data-type='submenu'][.//div[text()='Theme']]")
        self.click("//li[@data-command='apputils:change-theme'][.//div[text()='JupyterLab Dark']]")
        wait_for(lambda: self.says("return document.body.dataset.jpThemeLight") == "false", "the dark theme")

    def save(self) -> None:
        """Save the notebook, and wait until it is."""
        self._driver.find_element(By.CSS_SELECTOR, "body").send_keys(Keys.CONTROL, "s")
        wait_for(
            lambda: self.says("return document.querySelector('.jp-mod-dirty') === null"), "the notebook to be saved"
        )

    def click(self, xpath: str) -> None:
        """Click what can be found."""
        wait_for(lambda: self._driver.find_elements(By.XPATH, xpath), xpath)[0].click()

    def press(self, script: str, *keys: str) -> None:
        """Press keys on what a script finds."""
        self.says(script).send_keys(*keys)

    def shoot(self, name: str) -> None:
        """Take a picture of the whole notebook."""
        self._driver.set_window_size(WIDTH, self.says(HEIGHT) + 160)
        self.says(TO_THE_TOP)
        self.wait_for_pictures()
        time.sleep(0.5)  # the page lays itself out anew; there is nothing to wait for
        self._driver.save_screenshot(str(self._pictures / f"{name}.png"))
        self._driver.set_window_size(WIDTH, 1000)


@contextmanager
def open_browser(folder: Path, pictures: Path) -> Iterator[Browser]:
    """Open a browser, for a `with` block."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in [*FLAGS, f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver, pictures)
    finally:
        driver.quit()


def wait_for(condition: Callable[[], T], what: str, seconds: float = 60) -> T:
    """Look until something is so.

    Raises:
        TimeoutError: It never was.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.1)
    return found


def failures(path: Path, before: Sequence[notebooks.Cell], run: int = 1) -> list[str]:
    """Name the cells of a saved notebook that are not as they must be, with what is wrong.

    One failed and must not, or must and did not; or there is something on standard error; or it shows other things than
    before, because of what a later cell or a task in the background has sent to it. In a second run IPython says that
    an extension is loaded already.
    """
    wrong = []
    for cell, committed in zip(notebooks.code_cells(nbformat.read(path, as_version=4)), before, strict=True):
        tags, kinds = notebooks.tags(cell), notebooks.kinds(cell)
        if notebooks.has_failed(cell) is not (notebooks.RAISES in tags):
            wrong.append((cell.id, "an error" if notebooks.has_failed(cell) else "no error"))
        elif any("stderr" in kind for kind in kinds):
            wrong.append((cell.id, "standard error"))
        elif notebooks.DEPENDS in tags or (run > 1 and "%load_ext" in cell.source):
            continue
        elif _seen(kinds) != _seen(notebooks.kinds(committed)):
            wrong.append((cell.id, f"{len(kinds)} outputs"))
    return [f"{path.stem}, {name}: {what}" for name, what in wrong]


def _seen(kinds: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """What a reader sees of them: where there are widgets, not the still picture that is committed with them."""
    return [
        tuple(name for name in kind if name != "text/html") if notebooks.WIDGET_VIEW in kind else kind for kind in kinds
    ]


def slide(browser: Browser) -> tuple[str, str]:
    """Move the first slider by 50 ms with the keyboard; return what its picture said before and after."""
    before = wait_for(lambda: browser.says(ITS_PICTURE), "the picture of the slider")
    browser.press(FIRST_SLIDER, *[Keys.ARROW_RIGHT] * 5)
    after = before.replace(" 300 ms", " 350 ms")
    wait_for(lambda: before != after == browser.says(ITS_PICTURE), f"another picture than: {before}")
    return before, after


def edit(browser: Browser) -> tuple[str, str]:
    """Move the answer of AAAA to the left with the keyboard, until IPv6 wins; return what the picture said."""
    before = wait_for(lambda: browser.says(ITS_RACE), "the picture of the editor")
    browser.press(HANDLE, *[Keys.PAGE_DOWN] * 3)
    wait_for(lambda: "over IPv6" in browser.says(ITS_RACE), f"another race than: {before}")
    return before, browser.says(ITS_RACE)


def look_at(name: str, lab: Lab, browser: Browser) -> list[str]:
    """Open one notebook as a new user would, and run it; return what went wrong."""
    lab.forget()
    path = lab.root / f"{name}.ipynb"
    cells = notebooks.code_cells(nbformat.read(path, as_version=4))
    html = [output.get("data", {}).get("text/html", "") for cell in cells for output in cell.outputs]
    pictures = sum(markup.count("<img ") for markup in html)
    for theme in ("light", "dark"):
        lab.settle(dark=theme == "dark")
        browser.open(lab.address_of(name), pictures)
        browser.shoot(f"{name}.untrusted.{theme}")
    lab.settle(dark=False)
    browser.open(lab.address_of(name), pictures)
    wrong = []
    for times in (1, 2):
        browser.run_all(times * len(cells))
        browser.save()
        wrong += [f"{failure}, run {times}" for failure in failures(path, cells, times)]
    if name == WITH_SLIDERS:
        print("  the slider: {} -> {}".format(*slide(browser)))
    if name == WITH_EDITOR:
        print("  the editor: {} -> {}".format(*edit(browser)))
    browser.shoot(f"{name}.trusted.light")
    browser.turn_dark()
    browser.shoot(f"{name}.trusted.dark")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Be `python -m tests.browser`."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description="Run the notebooks in JupyterLab.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a notebook's name; all, if none")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where screenshots go; else a temporary folder")
    options = parser.parse_args(arguments)
    if commands := missing():
        print("this needs more than the test suite:", *commands, sep="\n  ")
        return 2
    pictures = options.pictures or Path(tempfile.mkdtemp(prefix="notebooks-"))
    pictures.mkdir(parents=True, exist_ok=True)
    names = [source.stem for source in notebooks.sources() if source.name.startswith(tuple(options.names) or "")]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        with lab.running(), open_browser(Path(folder), pictures) as browser:
            for name in names:
                print(name)
                wrong += look_at(name, lab, browser)
    print("screenshots:", pictures)
    print("failed:", *wrong, sep="\n  ") if wrong else print("all is well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
