"""OpenTelemetry: spans and metrics of everything that is connected (extra `otel`)."""

from ._adapters.for_otel import instrument
from ._public import publish

__all__ = [
    "instrument",
]

publish(__name__)
