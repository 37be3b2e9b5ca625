"""Knows how errors are told: application/problem+json (RFC 9457), whatever went wrong.

Must not know what any call does.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from edgeproxy.errors import BadRequest, EdgeProxyError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("edgeproxy.admin")


class Problem(Exception):
    """An error to be answered; `extra` are further members of the problem."""

    def __init__(self, status: int, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.extra = extra
        self.headers: dict[str, str] = {}


def problem_response(problem: Problem) -> web.Response:
    """The problem as it goes to the client."""
    body = {
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    return web.Response(
        status=problem.status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/problem+json", **problem.headers},
    )


@web.middleware
async def tell_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem; what nobody thought of is a 500 and a traceback in the log."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem_response(problem)
    except BadRequest as error:
        return problem_response(Problem(error.status, str(error)))
    except EdgeProxyError as error:
        return problem_response(Problem(503, str(error)))
    except web.HTTPException as error:
        return problem_response(_of_aiohttp(request, error))
    except Exception:  # the admin API must outlive a mistake in one call
        _log.exception("%s %s failed", request.method, request.path)
        return problem_response(Problem(500, "the call failed; the node's log says why"))


def _of_aiohttp(request: web.Request, error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        problem = Problem(405, f"{request.path} takes {allowed}")
        problem.headers["Allow"] = allowed
        return problem
    if isinstance(error, web.HTTPNotFound):
        return Problem(404, f"there is no {request.path}")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(413, "the body is too large")
    return Problem(error.status, error.reason)
