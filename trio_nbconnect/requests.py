"""requests: sessions connect through us (extra `requests`)."""

from ._adapters.for_requests import HTTPAdapter
from ._public import publish

__all__ = ["HTTPAdapter"]

publish(__name__)
