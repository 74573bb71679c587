"""Quick: data that is frozen as before, and made faster."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from trio_nbconnect import Address, Answer, Asked, Attempt, Question, trace
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._quick import quick


@dataclasses.dataclass(frozen=True, slots=True)
class Slow:
    """A frozen dataclass as the standard library makes it."""

    first: int
    second: str = "two"
    third: float = dataclasses.field(default=3.0, kw_only=True)


@quick(frozen=True, slots=True)
class Quick:
    """The same, made faster."""

    first: int
    second: str = "two"
    third: float = dataclasses.field(default=3.0, kw_only=True)


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

    assert list(parameters) == [field.name for field in dataclasses.fields(kind)]
    for field in dataclasses.fields(kind):
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        assert parameters[field.name].default is default
        assert parameters[field.name].annotation == field.type
        assert (parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY) == field.kw_only


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
    assert repr(Quick(1)) == "Quick(first=1, second='two', third=3.0)"
