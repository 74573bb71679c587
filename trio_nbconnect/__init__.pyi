# Written by `python -m tests.stub` from the table in _public.py.

from . import anyio as anyio
from . import blocking as blocking
from . import dns as dns
from . import httpcore as httpcore
from . import network as network
from . import notebook as notebook
from . import otel as otel
from . import proxy as proxy
from . import requests as requests
from . import testing as testing
from . import trace as trace
from ._adapters.for_trio import patched_trio as patched_trio
from ._address import Address as Address
from ._address import GivenAddress as GivenAddress
from ._address import LocalAddress as LocalAddress
from ._connect.handshake import Handshake as Handshake
from ._connect.handshake import HandshakeState as HandshakeState
from ._connect.network import Network as Network
from ._connect.options import Configure as Configure
from ._connect.options import KeepAlive as KeepAlive
from ._connect.options import Options as Options
from ._connect.options import SocketOptions as SocketOptions
from ._connect.sockets import connect_socket as connect_socket
from ._connector import Connector as Connector
from ._connector import StreamOpener as StreamOpener
from ._errors import Attempt as Attempt
from ._errors import ConnectError as ConnectError
from ._errors import ConnectRefused as ConnectRefused
from ._errors import ConnectTimeout as ConnectTimeout
from ._errors import Phase as Phase
from ._errors import ResolutionError as ResolutionError
from ._errors import TLSError as TLSError
from ._errors import connect_error as connect_error
from ._functions import open_service_stream as open_service_stream
from ._functions import open_ssl_over_tcp_stream as open_ssl_over_tcp_stream
from ._functions import open_tcp_stream as open_tcp_stream
from ._functions import open_tls_stream as open_tls_stream
from ._functions import open_unix_socket as open_unix_socket
from ._pictures.check import CheckedAddress as CheckedAddress
from ._pictures.check import HostCheck as HostCheck
from ._pictures.check import check as check
from ._pictures.explanation import Explanation as Explanation
from ._pictures.recording import RecordedRace as RecordedRace
from ._pictures.recording import Recording as Recording
from ._pictures.recording import record as record
from ._pictures.summary import Comparison as Comparison
from ._pictures.summary import HasTimeline as HasTimeline
from ._pictures.summary import RaceStatistics as RaceStatistics
from ._pictures.summary import Summary as Summary
from ._pictures.summary import compare as compare
from ._pictures.summary import summarize as summarize
from ._pictures.timeline import AttemptOutcome as AttemptOutcome
from ._pictures.timeline import AttemptRow as AttemptRow
from ._pictures.timeline import LookupRow as LookupRow
from ._pictures.timeline import RaceOutcome as RaceOutcome
from ._pictures.timeline import Timeline as Timeline
from ._pictures.timeline import UntriedRow as UntriedRow
from ._pictures.watch import watch as watch
from ._playground.widget import Playground as Playground
from ._playground.widget import playground as playground
from ._policy import Policy as Policy
from ._race.calls import Dial as Dial
from ._race.calls import race as race
from ._resolve.history import History as History
from ._resolve.history import HistoryView as HistoryView
from ._resolve.nat64 import discover_nat64 as discover_nat64
from ._resolve.query import Answer as Answer
from ._resolve.query import Query as Query
from ._resolve.query import QuerySent as QuerySent
from ._resolve.query import SendAnswer as SendAnswer
from ._resolve.query import Service as Service
from ._resolve.query import Source as Source
from ._resolve.system import Resolver as Resolver
from ._retry import is_retryable as is_retryable

__version__: str

__all__ = [
    "Address",
    "Answer",
    "Attempt",
    "AttemptOutcome",
    "AttemptRow",
    "CheckedAddress",
    "Comparison",
    "Configure",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Connector",
    "Dial",
    "Explanation",
    "GivenAddress",
    "Handshake",
    "HandshakeState",
    "HasTimeline",
    "History",
    "HistoryView",
    "HostCheck",
    "KeepAlive",
    "LocalAddress",
    "LookupRow",
    "Network",
    "Options",
    "Phase",
    "Playground",
    "Policy",
    "Query",
    "QuerySent",
    "RaceOutcome",
    "RaceStatistics",
    "RecordedRace",
    "Recording",
    "ResolutionError",
    "Resolver",
    "SendAnswer",
    "Service",
    "SocketOptions",
    "Source",
    "StreamOpener",
    "Summary",
    "TLSError",
    "Timeline",
    "UntriedRow",
    "check",
    "compare",
    "connect_error",
    "connect_socket",
    "discover_nat64",
    "is_retryable",
    "open_service_stream",
    "open_ssl_over_tcp_stream",
    "open_tcp_stream",
    "open_tls_stream",
    "open_unix_socket",
    "patched_trio",
    "playground",
    "race",
    "record",
    "summarize",
    "watch",
]
