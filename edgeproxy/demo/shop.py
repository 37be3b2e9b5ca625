"""Knows the shop's URLs: which handler answers what, and for how long caches may keep it.

Must not know that a proxy stands in front of it.
"""

import json
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web

from edgeproxy.demo import pages
from edgeproxy.demo.catalog import CATEGORIES, OPENED, Catalog, Product
from edgeproxy.demo.live import Announcements, Echo
from edgeproxy.demo.replies import NO_STORE, PRIVATE, Caching, reply

HTML, JSON, SVG = "text/html; charset=utf-8", "application/json", "image/svg+xml"
_MAX_BODY = 64 * 1024
_NAME_LENGTH = 40


class Shop:
    """The shop's handlers over one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._stylesheet = pages.stylesheet()
        self._requests = 0
        self.announcements = Announcements()
        self.echo = Echo()

    def __repr__(self) -> str:
        return f"<Shop requests={self._requests} {self._catalog!r}>"

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self.home),
            web.get("/category/{name}", self.category),
            web.get(r"/product/{id:\d{1,9}}", self.product),
            web.get("/search", self.search),
            web.get("/api/products", self.api_products),
            web.get(r"/api/products/{id:\d{1,9}}", self.api_product),
            web.post(r"/api/products/{id:\d{1,9}}/price", self.api_set_price),
            web.get("/api/search", self.api_search),
            web.get("/api/cart", self.api_cart),
            web.post("/api/cart", self.api_put_in_cart),
            web.get("/static/app.css", self.css),
            web.get(r"/static/img/{id:\d{1,9}}.svg", self.picture),
            web.get("/account", self.account),
            web.post("/account/login", self.login),
            web.get("/healthz", self.healthz),
            web.get("/stats", self.stats),
            web.get("/events", self.announcements.serve),
            web.get("/ws", self.echo.serve),
        ]

    # --- pages ----------------------------------------------------------------------

    async def home(self, request: web.Request) -> web.Response:
        categories, newest = await self._catalog.categories(), await self._catalog.newest(8)
        caching = Caching("public, max-age=60, stale-while-revalidate=30", ("home", *_tags(newest)))
        return reply(request, pages.home(categories, newest), HTML, caching, _updated(newest))

    async def category(self, request: web.Request) -> web.Response:
        name, page = request.match_info["name"], _page_number(request)
        products = await self._catalog.page(name, page) if name in CATEGORIES else []
        if not products:
            return _not_found("No such category")
        caching = Caching("public, max-age=60", (f"category-{name}", *_tags(products)))
        return reply(request, pages.category(name, page, products), HTML, caching, _updated(products))

    async def product(self, request: web.Request) -> web.Response:
        shown = await self._catalog.product(int(request.match_info["id"]))
        if shown is None:
            return _not_found("No such product")
        reviews, related = await self._catalog.reviews(shown.id), await self._catalog.related(shown)
        caching = Caching("public, max-age=300", (f"category-{shown.category}", *_tags([shown, *related])))
        page = pages.product(shown, reviews, related)
        return reply(request, page, HTML, caching, _updated([shown, *related]))

    async def search(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "")[:100]
        found = await self._catalog.search(words)
        return reply(
            request,
            pages.search(words, found),
            HTML,
            Caching("public, max-age=10", ("search", *_tags(found))),
        )

    # --- JSON -----------------------------------------------------------------------

    async def api_products(self, request: web.Request) -> web.Response:
        products = await self._catalog.page(request.query.get("category"), _page_number(request))
        caching = Caching("public, max-age=30", ("products", *_tags(products)))
        return reply(
            request, _json([_described(each) for each in products]), JSON, caching, _updated(products)
        )

    async def api_product(self, request: web.Request) -> web.Response:
        shown = await self._catalog.product(int(request.match_info["id"]))
        if shown is None:
            return _not_found("No such product")
        caching = Caching("public, max-age=30", _tags([shown]))
        return reply(request, _json(_described(shown)), JSON, caching, shown.updated)

    async def api_search(self, request: web.Request) -> web.Response:
        found = await self._catalog.search(request.query.get("q", "")[:100])
        caching = Caching("public, max-age=10", ("search", *_tags(found)))
        return reply(request, _json([_described(each) for each in found]), JSON, caching)

    async def api_set_price(self, request: web.Request) -> web.Response:
        try:
            price = float((await _body(request)).get("price", ""))
        except (TypeError, ValueError):
            price = 0.0
        if not 0 < price < 1_000_000:
            return _bad_request("price: a number above 0 and below 1000000, in euros")
        changed = await self._catalog.set_price(int(request.match_info["id"]), round(price * 100))
        if changed is None:
            return _not_found("No such product")
        self.announcements.tell("price", _described(changed))
        # A cache on the way drops what it holds of both URIs (RFC 9111 §4.4).
        fields = {"Cache-Control": "no-store", "Content-Location": f"/api/products/{changed.id}"}
        return web.Response(text=_json(_described(changed)), content_type=JSON, headers=fields)

    async def api_cart(self, request: web.Request) -> web.Response:
        lines = await self._catalog.cart(request.cookies.get("session", ""))
        cart = [{"product": number, "name": name, "quantity": count} for number, name, _, count in lines]
        return reply(request, _json(cart), JSON, PRIVATE)

    async def api_put_in_cart(self, request: web.Request) -> web.Response:
        asked = await _body(request)
        try:
            number, quantity = int(asked["product"]), int(asked.get("quantity", 1))
        except (KeyError, TypeError, ValueError):
            return _bad_request("product: the number of a product; quantity: a whole number")
        if not 1 <= quantity <= 100:
            return _bad_request("quantity: from 1 to 100")
        if not 0 < number < 10**9 or await self._catalog.product(number) is None:
            return _not_found("No such product")
        session = request.cookies.get("session") or _new_session()
        await self._catalog.put_in_cart(session, number, quantity)
        if request.content_type == JSON:
            response = web.Response(status=201, text=_json({"product": number}), content_type=JSON)
        else:
            response = web.Response(status=303, headers={"Location": "/account"})
        response.headers["Cache-Control"] = "no-store"
        _set_session(response, session)
        return response

    # --- static bytes ---------------------------------------------------------------

    async def css(self, request: web.Request) -> web.Response:
        caching = Caching("public, max-age=86400", ("static",))
        return reply(request, self._stylesheet, "text/css; charset=utf-8", caching, OPENED)

    async def picture(self, request: web.Request) -> web.Response:
        shown = await self._catalog.product(int(request.match_info["id"]))
        if shown is None:
            return _not_found("No such picture")
        caching = Caching("public, max-age=86400", ("static", f"product-{shown.id}"))
        return reply(request, pages.picture(shown), SVG, caching, OPENED)

    # --- private --------------------------------------------------------------------

    async def account(self, request: web.Request) -> web.Response:
        session = request.cookies.get("session") or _new_session()
        name = session.partition(".")[0]
        response = reply(request, pages.account(name, await self._catalog.cart(session)), HTML, PRIVATE)
        _set_session(response, session)
        return response

    async def login(self, request: web.Request) -> web.Response:
        name = str((await _body(request)).get("name", ""))
        kept = "".join(letter for letter in name if letter.isalnum() and letter.isascii())[:_NAME_LENGTH]
        if not kept:
            return _bad_request("name: letters and digits")
        response = web.Response(status=303, headers={"Location": "/account", "Cache-Control": "no-store"})
        _set_session(response, _new_session(kept))
        return response

    # --- for operators --------------------------------------------------------------

    async def healthz(self, request: web.Request) -> web.Response:
        return reply(request, "ok\n", "text/plain", NO_STORE)

    async def stats(self, request: web.Request) -> web.Response:
        """How much work reached this shop; the request that asks is not counted."""
        host, port = request.transport.get_extra_info("sockname")[:2] if request.transport else ("", 0)
        counts = {"requests": self._requests, "queries": self._catalog.queries}
        return reply(request, _json({"shop": f"{host}:{port}"} | counts), JSON, NO_STORE)

    @web.middleware
    async def count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path not in ("/healthz", "/stats"):
            self._requests += 1
        response: web.StreamResponse = await handler(request)
        return response


def build(database: Path, delay: float = 0.0) -> web.Application:
    """The shop over the catalogue in `database`; `delay` (seconds) is added to each query."""
    catalog = Catalog(database, delay)
    shop = Shop(catalog)
    app = web.Application(middlewares=[shop.count], client_max_size=_MAX_BODY)
    app.add_routes(shop.routes())

    async def end_streams(_: web.Application) -> None:
        shop.announcements.end()
        await shop.echo.end()

    async def close(_: web.Application) -> None:
        await catalog.close()

    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(close)
    return app


def _tags(products: list[Product]) -> tuple[str, ...]:
    return tuple(f"product-{each.id}" for each in products)


def _updated(products: list[Product]) -> int | None:
    return max((each.updated for each in products), default=None)


def _described(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "name": product.name,
        "category": product.category,
        "price": product.price / 100,
        "stock": product.stock,
        "text": product.text,
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _page_number(request: web.Request) -> int:
    asked = request.query.get("page", "1")
    return max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1


async def _body(request: web.Request) -> dict[str, Any]:
    """A JSON object, or a form's fields; empty when the body is neither."""
    if request.content_type != JSON:
        return dict(await request.post())
    try:
        value = await request.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _not_found(title: str) -> web.Response:
    # A short lifetime, so that a flood of wrong links does not become a flood of queries.
    fields = {"Cache-Control": "public, max-age=5"}
    return web.Response(status=404, text=pages.problem(title), content_type="text/html", headers=fields)


def _bad_request(what: str) -> web.Response:
    fields = {"Cache-Control": "no-store"}
    return web.Response(status=400, text=_json({"error": what}), content_type=JSON, headers=fields)


def _new_session(name: str = "guest") -> str:
    return f"{name}.{secrets.token_urlsafe(12)}"


def _set_session(response: web.Response, session: str) -> None:
    response.set_cookie("session", session, path="/", httponly=True, samesite="Lax", max_age=86400)
