"""Quick: data that is frozen as before, and made faster."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import typing
from collections.abc import Callable
from typing import Any

import pytest

from trio_nbconnect import Address, Answer, Asked, Attempt, Question, trace
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._quick import quick


class _Body:
    """What the two classes below have in common but their fields."""

    __slots__ = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "later", f"{self.first} and {self.second}")  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return "its own"


@dataclasses.dataclass(frozen=True, slots=True)
class Slow(_Body):
    """A frozen dataclass as the standard library makes it."""

    first: Any
    second: str = "two"
    third: float = dataclasses.field(default=3.0, kw_only=True, repr=False)
    fourth: list[int] = dataclasses.field(default_factory=list, init=False, compare=False)
    fifth: int = dataclasses.field(default=5, init=False)
    later: str = dataclasses.field(init=False, compare=False)


@quick(frozen=True, slots=True)
class Quick(_Body):
    """The same, made faster."""

    first: Any
    second: str = "two"
    third: float = dataclasses.field(default=3.0, kw_only=True, repr=False)
    fourth: list[int] = dataclasses.field(default_factory=list, init=False, compare=False)
    fifth: int = dataclasses.field(default=5, init=False)
    later: str = dataclasses.field(init=False, compare=False)


@dataclasses.dataclass(slots=True, eq=False)
class SlowState:
    """State, which is changed, and is nobody's equal."""

    first: int
    second: list[int] = dataclasses.field(default_factory=list, init=False)


@quick(slots=True, eq=False)
class QuickState:
    """The same, made faster."""

    first: int
    second: list[int] = dataclasses.field(default_factory=list, init=False)


class SlowHeir(Slow):
    """A class that inherits, and is no dataclass itself."""


class QuickHeir(Quick):
    """The same of the faster one."""


PAIRS = [(Slow, Quick), (SlowState, QuickState), (SlowHeir, QuickHeir)]

KINDS = [Address, Answer, Asked, Attempt, Question, trace.AttemptStarted, trace.RaceLost, trace.AnswerReceived, Quick]


@pytest.mark.parametrize(
    ("positional", "named"), [((1,), {}), ((1, "b"), {}), ((), {"first": 1, "third": 0.5}), ((1,), {"second": "b"})]
)
def test_it_takes_what_the_other_takes(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    assert dataclasses.astuple(Quick(*positional, **named)) == dataclasses.astuple(Slow(*positional, **named))


@pytest.mark.parametrize(("positional", "named"), [((), {}), ((1, "b", 0.5), {}), ((1,), {"fourth": 4})])
def test_it_refuses_what_the_other_refuses(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (Slow, Quick):
        with pytest.raises(TypeError, match=kind.__name__):
            kind(*positional, **named)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_frozen_dataclass_with_the_signature_of_its_fields(kind: type[Any]) -> None:
    parameters = inspect.signature(kind).parameters
    taken = [field for field in dataclasses.fields(kind) if field.init]

    assert list(parameters) == [field.name for field in taken]
    for field in taken:
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        assert parameters[field.name].default is default
        assert parameters[field.name].annotation == field.type
        assert (parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY) == field.kw_only


@pytest.mark.parametrize("kind", KINDS)
def test_its_annotations_are_found_where_it_was_written(kind: type[Any]) -> None:
    hints = typing.get_type_hints(kind)

    assert typing.get_type_hints(kind.__init__) == {
        **{field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init},
        "return": type(None),
    }


@pytest.mark.parametrize("kind", [trace.AttemptStarted, trace.AnswerReceived, trace.RaceLost])
def test_it_can_be_made_of_its_values_in_their_order(kind: type[Any]) -> None:
    """Which is the order of the fields; those at the end may be left out if they have a default."""
    names = [field.name for field in dataclasses.fields(kind)]
    needed = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]

    assert kind._made(*names) == kind(**{name: name for name in names})
    assert kind._made(*needed) == kind(**{name: name for name in needed})
    with pytest.raises(TypeError):
        kind._made(*needed[:-1])


def test_what_is_not_made_quickly_cannot_be() -> None:
    with pytest.raises(NotImplementedError):
        trace._Happened._made(1, 0.0)


def test_what_it_makes_is_like_any_frozen_data() -> None:
    address = Address(IPV6, "2001:db8::1", 443)

    with pytest.raises(dataclasses.FrozenInstanceError):
        address.port = 80  # type: ignore[misc]  # that is the point
    assert dataclasses.replace(address, port=80) == Address(IPV6, "2001:db8::1", 80)
    assert pickle.loads(pickle.dumps(address)) == copy.copy(address) == address
    assert hash(address) == hash(Address(IPV6, "2001:db8::1", 443, 0, 0))
    assert address != Address(IPV4, "2001:db8::1", 443)


def told(kind: type[Any], do: Callable[[Any], object]) -> str:
    """What comes of doing something with an object of this kind: a result or an error, as text without its name."""
    try:
        text = repr(do(kind(1)))
    except (TypeError, ValueError, AttributeError) as error:
        text = f"{type(error).__name__}: {error}"
    return text.replace("Slow", "Quick")


TRIALS: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "set": lambda it: setattr(it, "second", "three"),
    "delete": lambda it: delattr(it, "first"),
    "fields": lambda it: [
        (field.name, field.type, field.default, field.init, field.repr, field.compare, field.kw_only)
        for field in dataclasses.fields(it)
    ],
    "match": lambda it: it.__match_args__,
    "slots": lambda it: type(it).__slots__,
    "parameters": lambda it: it.__dataclass_params__,
    "as a dict": dataclasses.asdict,
    "as a tuple": dataclasses.astuple,
    "replace": lambda it: dataclasses.replace(it, first=2),
    "replace what is not taken": lambda it: dataclasses.replace(it, second=[2], fourth=[4]),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": lambda it: pickle.loads(pickle.dumps(it)),
    "signature": lambda it: str(inspect.signature(type(it))),
    "annotations": lambda it: type(it).__init__.__annotations__,
    "where it is from": lambda it: (type(it).__init__.__qualname__, type(it).__repr__.__qualname__),
    "equal": lambda it: (it == type(it)(1), it == type(it)(2), it == 1, it.__eq__(1)),
    "hash": lambda it: (hash(it) == hash(type(it)(1)), it in {it: 0}),
}


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize(("slow", "fast"), PAIRS)
def test_whatever_is_done_with_it_comes_out_as_with_the_other(slow: type[Any], fast: type[Any], trial: str) -> None:
    assert told(fast, TRIALS[trial]) == told(slow, TRIALS[trial])


def test_an_heir_has_attributes_of_its_own() -> None:
    """The library's own refuses them by mistake: it asks `super` with the class as it was before it had slots."""
    heir: Any = QuickHeir(1)
    heir.mine = 1
    assert heir.mine == 1
    del heir.mine

    assert not hasattr(heir, "mine")
    assert heir == QuickHeir(1) != Quick(1)


def test_one_that_holds_itself_can_be_shown() -> None:
    texts = []
    for kind in (Slow, Quick):
        inside: list[object] = []
        holder = kind([inside])
        inside.append(holder)
        texts.append(repr(holder).replace("Slow", "Quick"))

    assert texts[0] == texts[1]
    assert texts[0].startswith("Quick(first=[[...]]")


def test_lists_are_not_shared() -> None:
    assert QuickState(1).second is not QuickState(1).second
    with pytest.raises(AssertionError, match="made once and for all"):

        @quick(frozen=True, slots=True)
        class Shared:
            first: list[int] = dataclasses.field(default_factory=list)


def test_events_are_frozen_as_what_they_inherit_from() -> None:
    assert trace._Happened.__dataclass_params__.frozen  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'time'"):
        trace.RaceLost(race=1, time=0.0, error=None).time = 1.0  # type: ignore[misc]  # that is the point
