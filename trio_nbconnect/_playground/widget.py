"""Widget: the playground's editor in a notebook, on a network that the next cell uses.

The page of the playground runs Python in the browser; here the kernel runs it. The editor is the same, and what is
dragged changes the very `SimulatedNetwork` that was given, so that a cell can go on with it. Where widgets cannot be
shown, before a notebook is trusted or on the web, the picture of the race stands in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._connector import Connector
from .._pictures.recording import RecordedRace
from .._simulation.network import SimulatedNetwork
from .answer import answered, read
from .scene import HOST, Scene, code_of, connector_of, network_of, race_of, scene_of

if TYPE_CHECKING:
    import anywidget

_HERE = Path(__file__).parent


class Playground:
    """A network that is edited as a picture, in a notebook; see `playground`, which makes one.

    Args:
        network: What to begin with; it is changed.
        host: The name that is connected to.

    Attributes:
        network: The network as it is now; the same object all the time.
        connector: Who connects on it, with the policy that was chosen; for `simulate`, and for a program of yours.
        race: The latest race.
        code: The Python that makes this network and runs this race.
    """

    def __init__(self, network: SimulatedNetwork, host: str = HOST) -> None:
        self.network = network
        self._scene = scene_of(network, host)
        self._widget = _widget(self._scene, self._answer)
        self.race: RecordedRace = race_of(self._scene, network)

    def __repr__(self) -> str:
        return f"<Playground of {self._scene.host}: {len(self._scene.hosts)} addresses>"

    @property
    def connector(self) -> Connector:
        """Who connects, with the policy that was chosen."""
        return connector_of(self._scene, self.network)

    @property
    def code(self) -> str:
        """The Python that makes this network and runs this race."""
        return code_of(self._scene)

    def _answer(self, text: str) -> str:
        """Answer the editor; the network becomes what it shows."""
        try:
            request = read(text)
        except ValueError as error:
            return json.dumps({"error": str(error)})
        self._scene = request.scene
        self.network._become(network_of(request.scene))
        self.race = race_of(request.scene, self.network)
        return json.dumps(answered(request, self.race))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        shown = self._widget._repr_mimebundle_()
        data = shown[0] if isinstance(shown, tuple) else shown
        return {**(data or {}), **self.race._repr_mimebundle_()}


def playground(network: SimulatedNetwork | None = None, host: str = HOST) -> Playground:
    """Show a simulated network in a notebook as a picture that can be edited, with the race on it drawn below.

    Drag the handles to say when something answers. Each move runs the race in the kernel, and changes the network, so
    the next cell goes on with what was dragged. It needs the extra `notebook`.

    Args:
        network: What to begin with; it is changed. None begins with a network whose IPv6 answers late.
        host: The name that is connected to.

    Returns:
        What the notebook shows; it has the network, the latest race and the Python of both.

    Raises:
        ImportError: anywidget is missing.
        ValueError: The network has something that the editor cannot show.

    Example:
        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> net = SimulatedNetwork()
        >>> net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
        >>> net.host("2001:db8::1").drops(), net.host("192.0.2.1").accepts(after=0.03)
        (<SimulatedHost 2001:db8::1: drops>, <SimulatedHost 192.0.2.1: accepts after 0.03 s>)
        >>> playground(net).race
        <RecordedRace example.org:443, won>
    """
    if network is None:
        network = network_of(Scene.read({**_choices()["scenes"][0], "host": host}))
    return Playground(network, host)


def _choices() -> dict[str, Any]:
    choices: dict[str, Any] = json.loads((_HERE / "page" / "scenes.json").read_text("utf-8"))
    return choices


def _widget(shown: Scene, answer: Any) -> anywidget.AnyWidget:
    """Make the widget; anywidget is loaded by who uses it."""
    try:
        import anywidget  # noqa: PLC0415 - see above
        import traitlets  # noqa: PLC0415
    except ImportError:
        advice = "python -m pip install 'trio-nbconnect[notebook]'"
        raise ImportError(f"trio_nbconnect.playground needs anywidget: {advice}") from None

    class Editor(anywidget.AnyWidget):
        """The editor; its messages have a number, by which it knows the answers."""

        _esm = (_HERE / "page" / "editor.js").read_text("utf-8") + (_HERE / "widget.js").read_text("utf-8")
        _css = (_HERE / "page" / "editor.css").read_text("utf-8")
        choices = traitlets.Unicode(json.dumps(_choices())).tag(sync=True)
        scene = traitlets.Unicode(json.dumps(shown.data())).tag(sync=True)

    editor = Editor()

    def received(_editor: object, message: dict[str, Any], _buffers: object) -> None:
        editor.send({"number": message["number"], "text": answer(message["text"])})

    editor.on_msg(received)
    return editor
