"""Worker: the process of one contender: `python -m tests.benchmarks.worker CONTENDER CASE COUNT [PLACE]`.

It connects COUNT times and prints a line of JSON: what one connect took. With "-" for COUNT, it reads counts from
standard input, one a line, and answers each; that is how contenders take turns. Without a PLACE it opens one of its
own. To watch it alone, run `python -m tests.benchmarks.place` beside it, which prints what to write for PLACE,
then `strace -fc python -m tests.benchmarks.worker nb literal 100 PLACE`.

A contender in another language takes this process over.
"""

from __future__ import annotations

import gc
import json
import os
import sys

from .cases import GOOD, Case, Names, Network, Pattern, case_called, over_veth
from .contenders import Compiled, Contender, contender_called
from .place import PROJECT, Place, allow_many_descriptors, open_place
from .target import answer_for, check_resumed, target_of


def hosts_of(case: Case) -> tuple[str, ...]:
    """Return where the connects go, in rotation: many at once would fill one queue."""
    if case.pattern is not Pattern.AT_ONCE:
        return (case.host,)
    return GOOD if case.network is Network.LOOPBACK else tuple(map(over_veth, GOOD))


def command(contender: Contender, case: Case, place: Place, count: str) -> list[str]:
    """Return the command that starts this process, or the program that it would become."""
    if isinstance(contender, Compiled) and case.network is Network.LOOPBACK:
        return contender.command(case, place, count, hosts_of(case))
    return [sys.executable, "-m", __spec__.name, contender.name, case.name, count, str(place)]


def work(contender: Contender, case: Case, count: str, place: Place) -> None:
    """Connect, and report."""
    allow_many_descriptors()
    if case.network is Network.VETH:
        place.cross()
    if case.names is Names.SERVED:
        place.use_name_server()
    if isinstance(contender, Compiled):
        program = contender.command(case, place, count, hosts_of(case))
        os.execv(program[0], program)
    targets = [target_of(case, place, host) for host in hosts_of(case)]
    answer_for(case, targets[0])
    gc.collect()
    gc.freeze()
    for line in sys.stdin if count == "-" else [count]:
        figures = contender.sample(case, contender.ways[case.kind], targets, int(line))
        print(json.dumps(figures), flush=True)
        if case.resumed:
            check_resumed(targets[0])
        gc.collect()


def main(contender: str, case: str, count: str, place: str = "") -> None:
    """Be the process."""
    if place:
        work(contender_called(contender), case_called(case), count, Place.read(place))
        return
    with open_place(contender_called(contender).languages) as mine:
        child = command(contender_called(contender), case_called(case), mine, count)
        status = os.spawnv(os.P_WAIT, child[0], child)
    sys.exit(status)


if __name__ == "__main__":
    os.chdir(PROJECT)
    main(*sys.argv[1:])
