"""Completion: what a shell offers behind `nbconnect -`.

The options are read from the parser, so that the two agree. For bash: `eval "$(nbconnect --completion bash)"`; zsh the
same, with `zsh`, which loads its completion first where that was not done; for fish: `nbconnect --completion fish |
source`. All three were tried.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

_COMMANDS = "check demo playground"


def _bash(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "_nbconnect() {"
    yield '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}"'
    yield '    case "$before" in'
    for action in _options(parser):
        names = "|".join(action.option_strings)
        if action.choices:
            words = " ".join(map(str, action.choices))
            yield f'        {names}) COMPREPLY=($(compgen -W "{words}" -- "$word")); return ;;'
        elif action.metavar == "FILE":
            yield f'        {names}) COMPREPLY=($(compgen -f -- "$word")); return ;;'
    yield "    esac"
    words = " ".join(name for action in _options(parser) for name in action.option_strings)
    yield "    if [[ $word == -* ]]; then"
    yield f'        COMPREPLY=($(compgen -W "{words}" -- "$word"))'
    yield "    else"
    yield f'        COMPREPLY=($(compgen -W "{_COMMANDS}" -A hostname -- "$word"))'
    yield "    fi"
    yield "}"
    yield "complete -F _nbconnect nbconnect"


def _zsh(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "(( $+functions[compdef] )) || { autoload -U compinit && compinit; }"
    yield "autoload -U +X bashcompinit && bashcompinit"
    yield from _bash(parser)


def _fish(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"complete -c nbconnect -f -a '{_COMMANDS} (__fish_print_hostnames)'"
    for action in _options(parser):
        names = "".join(
            f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in action.option_strings
        )
        takes = "" if action.nargs == 0 else " -r -F" if action.metavar == "FILE" else " -x"
        choices = f" -a '{' '.join(map(str, action.choices))}'" if action.choices else ""
        words = (action.help or "").partition(" (default")[0].replace("'", "\\'")
        yield f"complete -c nbconnect{names}{takes}{choices} -d '{words}'"


SHELLS: dict[str, Callable[[argparse.ArgumentParser], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings]


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell."""
    return "".join(f"{line}\n" for line in SHELLS[shell](parser))
