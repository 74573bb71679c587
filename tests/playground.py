"""The playground in a real browser: `python -m tests.playground`.

What Python does of it is tested in the suite, and what Pyodide does in `tests.pyodide`; what is left is what people do:

1. Every scene: the picture is the one that this Python draws, byte for byte.
2. A handle dragged with the mouse, with a finger, and off the right end; the same with the keyboard.
3. Undo and redo, addresses added and removed, the link, the steps.
4. Without a network, once it is loaded; and nothing came from any other host.
5. Light, dark and 400 pixels wide: nothing sticks out; screenshots, to be looked at by people.

How long it took to the first race, and how long a move takes, is printed and not judged. It is a command of its own
because it needs node's npm, Debian's `chromium` and `chromium-driver`, and `pip install selenium`. Everything is on the
loopback interface and in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trio_nbconnect._playground import site
from trio_nbconnect._playground.answer import answer

from . import browser
from .browser import wait_for

if browser.HAS_SELENIUM:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

PAGE = Path(site.__file__).parent / "page"
SCENES = [scene["id"] for scene in json.loads((PAGE / "scenes.json").read_text("utf-8"))["scenes"]]

IDLE = "return globalThis.playground?.result && !globalThis.playground.isRunning ? playground.result : null"

MOVES = """
const slider = document.querySelector('[data-key="a"]'), times = [];
let frames = 0, over = false;
const count = () => { frames++; if (!over) requestAnimationFrame(count); };
requestAnimationFrame(count);
const started = performance.now();
for (let move = 0; move < 240; move++) {
  const before = performance.now();
  slider.value = 20 + (move * 7) % 300;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise(requestAnimationFrame);
  times.push(performance.now() - before);
}
slider.dispatchEvent(new Event("change", { bubbles: true }));
over = true;
times.sort((one, other) => one - other);
done({ frames, seconds: (performance.now() - started) / 1000, median: times[120], late: times[228] });
"""


class Page:
    """The playground, open in a browser."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, scene: str = "", width: int = 1100, *, dark: bool = False) -> float:
        """Open a scene, and return how many seconds passed until its race was there."""
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        started = time.monotonic()
        self.driver.get(f"{self.address}#{scene}")
        self.race()
        return time.monotonic() - started

    def says(self, script: str) -> Any:
        """Ask the page."""
        return self.driver.execute_script(script)

    def race(self) -> dict[str, Any]:
        """Wait until nothing runs, and return the race that is shown."""
        result: dict[str, Any] = wait_for(lambda: self.says(IDLE), "a race")
        return result

    def scene(self) -> dict[str, Any]:
        """The scene that is shown."""
        scene: dict[str, Any] = self.says("return playground.scene")
        return scene

    def picture(self) -> str:
        """The SVG of the picture."""
        source = self.says("return document.querySelector('#playground img').src")
        return urllib.parse.unquote(source.partition(",")[2])

    def handle(self, key: str) -> Any:
        """A control by its key."""
        return self.driver.find_element(By.CSS_SELECTOR, f'[data-key="{key}"]')

    def place(self, key: str) -> tuple[float, float]:
        """Where on the screen the handle of a slider is, and its upper edge."""
        self.says(f"document.querySelector('[data-key=\"{key}\"]').scrollIntoView({{block: 'center'}})")
        left, width, top, share = self.says(
            f"const s = document.querySelector('[data-key=\"{key}\"]'), r = s.getBoundingClientRect();"
            "return [r.left, r.width, r.top + r.height / 2, s.value / s.max]"
        )
        return left + 10 + (width - 20) * share, top

    def drag(self, key: str, by: float) -> None:
        """Move a handle by so many pixels, with the mouse."""
        x, y = self.place(key)
        for kind, at in (("Moved", x), ("Pressed", x), ("Moved", x + by / 2), ("Moved", x + by), ("Released", x + by)):
            event = {"type": f"mouse{kind}", "x": at, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def touch(self, key: str, by: float) -> None:
        """Move a handle by so many pixels, with a finger."""
        x, y = self.place(key)
        for kind, at in (("touchStart", x), ("touchMove", x + by / 2), ("touchMove", x + by), ("touchEnd", None)):
            points = [] if at is None else [{"x": at, "y": y}]
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def press(self, key: str, *keys: str) -> None:
        """Press keys on a control."""
        self.handle(key).send_keys(*keys)

    def click(self, words: str) -> None:
        """Click a button by its words."""
        self.driver.find_element(By.XPATH, f"//button[contains(., '{words}')]").click()

    def shoot(self, path: Path, width: int) -> None:
        """Take a picture of the whole page."""
        height = self.says("return document.documentElement.scrollHeight")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.race()
        self.driver.save_screenshot(str(path))


def equal_pictures(page: Page) -> None:
    """Each scene's picture is byte for byte that of CPython."""
    for name in SCENES:
        page.says(f"playground.choose('{name}')")
        found = page.race()
        request = {"scene": page.scene(), "width": found["columns"]["width"], "until": found["columns"]["span"]}
        assert page.picture() == json.loads(answer(json.dumps(request)))["svg"], name


def dragging(page: Page) -> None:
    """The mouse decides who wins, and off the right end is never."""
    page.open("late-aaaa")
    assert "over IPv4" in page.race()["headline"]
    page.drag("aaaa", -290)
    assert "over IPv6" in page.race()["headline"]
    page.drag("2001:db8::1", 900)
    assert page.scene()["hosts"][0]["does"] == "drops"
    page.drag("a", 900)
    assert page.scene()["answers"]["a"] is None


def touching(page: Page) -> None:
    """A finger does the same."""
    page.open("late-aaaa", 400)
    page.touch("aaaa", -150)
    wait_for(lambda: page.scene()["answers"]["aaaa"] < 60, "the handle to be moved")
    assert "over IPv6" in page.race()["headline"]


def keyboard(page: Page) -> None:
    """So do keys."""
    page.open("late-aaaa")
    page.press("aaaa", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.scene()["answers"]["aaaa"] == 180
    page.handle("a").send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    assert page.scene()["answers"]["a"] == 21
    page.press("aaaa", Keys.PAGE_DOWN, Keys.PAGE_DOWN, Keys.PAGE_DOWN)
    assert page.scene()["answers"]["aaaa"] == 30
    page.press("aaaa", Keys.END)
    assert page.scene()["answers"]["aaaa"] is None
    assert page.handle("aaaa").get_attribute("aria-valuetext") == "never"
    page.press("aaaa", Keys.ARROW_LEFT)
    assert page.scene()["answers"]["aaaa"] == 400


def undoing(page: Page) -> None:
    """A whole drag is one step back."""
    page.open("late-aaaa")
    first = page.scene()
    page.drag("aaaa", -290)
    moved = page.scene()
    page.click("+ IPv4")
    assert len(page.scene()["hosts"]) == 3
    page.press("add4", Keys.CONTROL, "z")
    assert page.scene() == moved
    page.click("Undo")
    assert page.scene() == first
    page.click("Redo")
    assert page.scene() == moved
    page.handle("remove 192.0.2.1").click()
    assert [host["ip"] for host in page.scene()["hosts"]] == ["2001:db8::1"]


def linking(page: Page) -> None:
    """The address of the page holds the scene."""
    page.open("black-hole")
    page.click("+ IPv6")
    page.press("attempt_delay", Keys.ARROW_RIGHT)
    scene = page.scene()
    wait_for(lambda: page.says("return location.hash === playground.link"), "the link")
    link = page.says("return location.hash").removeprefix("#")
    page.open(link)
    assert page.scene() == scene
    page.open("no-scene-at-all")
    assert "The link holds no scene" in page.says("return document.body.innerText")


def stepping(page: Page) -> None:
    """The steps say which sentence ruled."""
    page.open("late-aaaa")
    wait_for(lambda: page.says("return document.querySelectorAll('.steps li').length") == 5, "the steps")
    for _ in range(3):
        page.click("Next step")
    told = page.says("return document.querySelector('.steps').innerText")
    assert "RFC 8305, section 3" in told
    assert page.says("return !document.querySelector('.future').hidden")
    focused = page.driver.find_element(By.CSS_SELECTOR, '.steps [aria-current="step"]')
    focused.send_keys(Keys.ARROW_DOWN)
    assert "Attempt 1" in page.says("return document.querySelector('.steps [aria-current]').innerText")


def without_a_network(page: Page) -> None:
    """Once it is loaded it needs nobody, and it has asked nobody else."""
    page.open("late-aaaa")
    names = page.says("return performance.getEntriesByType('resource').map(each => each.name)")
    assert all(name.startswith((page.address, "data:")) for name in names), names
    page.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page.drag("aaaa", -290)
    assert "over IPv6" in page.race()["headline"]
    page.driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions", offline | {"offline": False, "downloadThroughput": -1}
    )


def moving(page: Page) -> None:
    """How long a move takes, for people to judge."""
    page.open("late-aaaa")
    page.driver.set_script_timeout(60)
    found = page.driver.execute_async_script(f"(async done => {{ {MOVES} }})(arguments[0])")
    rate = found["frames"] / found["seconds"]
    print(
        f"  {rate:.0f} frames a second; a move takes {found['median']:.1f} ms, one in 20 {found['late']:.1f} ms or more"
    )


def looks(page: Page, pictures: Path) -> None:
    """Nothing sticks out on the right."""
    for name, width, dark in (
        ("light", 1100, False),
        ("dark", 1100, True),
        ("narrow", 400, False),
        ("phone", 340, True),
    ):
        seconds = page.open("everything", width, dark=dark)
        assert page.says("return document.documentElement.scrollWidth") <= width, name
        assert page.says("return document.querySelector('#playground img').alt").startswith("example.org:443 connected")
        page.shoot(pictures / f"{name}.png", width)
        print(f"  {name}: the first race after {seconds:.1f} s")


CHECKS: list[Callable[[Page], None]] = [
    equal_pictures, dragging, touching, keyboard, undoing, linking, stepping, without_a_network, moving
]  # fmt: skip


@contextmanager
def open_page(folder: Path, pyodide: Path | None) -> Iterator[Page]:
    """Write the playground, serve it, and open a browser."""
    site.build(folder / "site", pyodide)
    with site.server(folder / "site") as pages, browser.open_browser(folder, folder) as opened:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        try:
            yield Page(opened._driver, f"http://127.0.0.1:{pages.server_port}/")
        finally:
            pages.shutdown()
            thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Be `python -m tests.playground`."""
    parser = argparse.ArgumentParser(prog="python -m tests.playground", description="Try the playground in Chromium.")
    parser.add_argument("--pyodide", type=Path, metavar="FOLDER", help="where Pyodide is; else npm fetches it")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where screenshots go; else a temporary folder")
    parser.add_argument("names", nargs="*", metavar="CHECK", help="one of them by name; all, if none")
    options = parser.parse_args(arguments)
    if commands := [
        command for command in browser.missing() if "jupyterlab" not in command or not browser.HAS_SELENIUM
    ]:
        print("this needs more than the test suite:", *commands, sep="\n  ")
        return 2
    pictures = options.pictures or Path(tempfile.mkdtemp(prefix="playground-"))
    pictures.mkdir(parents=True, exist_ok=True)
    wrong = []
    with tempfile.TemporaryDirectory() as folder, open_page(Path(folder), options.pyodide) as page:
        page.open()
        checks = {check.__name__: check for check in CHECKS} | {"looks": lambda page: looks(page, pictures)}
        for name in options.names or checks:
            print(name)
            try:
                checks[name](page)
            except (AssertionError, TimeoutError):
                wrong.append(f"{name}: {traceback.format_exc(limit=-2)}")
    print("screenshots:", pictures)
    print("failed:", *wrong, sep="\n  ") if wrong else print("all is well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
