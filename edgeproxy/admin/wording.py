"""What to write instead, for a body that does not fit what a call wants.

Must not know what a call does with it.
"""

import re
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

_UNKNOWN = re.compile(r"unknown field `(.+)`")
_WRONG = re.compile(r"(?:at `\$\.(\w+)|required field `(\w+)`)")
_EXAMPLES = {list: '["..."]', str: '"..."', bool: "true or false"}


def with_advice(error: str, kind: type[Any]) -> str:
    """A decoder's `error` about a body that should be a `kind`, and what may stand there."""
    hints = get_type_hints(kind)
    unknown = _UNKNOWN.search(error)
    if unknown is not None:
        near = get_close_matches(unknown[1], hints, n=1)
        return f"{error}; " + (f"did you mean {near[0]}?" if near else f"there are: {', '.join(hints)}")
    wrong = _WRONG.search(error)
    name = (wrong[1] or wrong[2]) if wrong is not None else ""
    return f"{error}; write {name}: {_example(hints[name])}" if name in hints else error


def _example(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f'"{value}"' for value in get_args(hint))
    if get_origin(hint) is list:
        return _EXAMPLES[list]
    given = [each for each in get_args(hint) or (hint,) if each is not type(None)]
    return _EXAMPLES.get(given[0], "...")
