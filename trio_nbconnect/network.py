"""Network: the types of the system calls below a connect, for networks of your own."""

from ._connect.handshake import Reopen
from ._connect.look_ups import LookUp
from ._connect.network import Socket
from ._connect.policy_table import PolicyEntry, PolicyTable
from ._connect.settings import Setting
from ._public import publish

__all__ = [
    "LookUp",
    "PolicyEntry",
    "PolicyTable",
    "Reopen",
    "Setting",
    "Socket",
]

publish(__name__)
