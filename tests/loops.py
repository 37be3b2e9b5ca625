"""Runs an async test on uvloop and on asyncio's own loop; what a callback raises fails the test."""

import asyncio
import functools
import gc
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

FACTORIES = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Decorates an async test, closest to the function."""

    @functools.wraps(test)
    def run(loop_name: str, **arguments: Any) -> None:
        troubles: list[dict[str, Any]] = []

        async def body() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
            await test(**arguments)
            gc.collect()  # futures whose exception nobody took tell it when they go

        with asyncio.Runner(loop_factory=FACTORIES[loop_name]) as runner:
            runner.run(body())
        assert not troubles, troubles

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop_name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop_name", FACTORIES)(run)
