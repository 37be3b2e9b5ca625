"""Knows what the shop looks like: HTML pages and product pictures made from values.

Must not know HTTP, nor where the values come from.
"""

import html
from collections.abc import Sequence
from importlib.resources import files

from edgeproxy.demo.catalog import PAGE_SIZE, Product, Review


def stylesheet() -> bytes:
    return files(__package__).joinpath("app.css").read_bytes()


def home(categories: Sequence[tuple[str, int]], newest: Sequence[Product]) -> str:
    links = "".join(
        f'<li><a href="/category/{name}">{name}</a> <span class="soft">{count}</span></li>'
        for name, count in categories
    )
    return _page("Everything, and a cache", f"<nav><ul>{links}</ul></nav><h2>New</h2>{_list(newest)}")


def category(name: str, page: int, products: Sequence[Product]) -> str:
    turns = []
    if page > 1:
        turns.append(f'<a rel="prev" href="/category/{name}?page={page - 1}">before</a>')
    if len(products) == PAGE_SIZE:
        turns.append(f'<a rel="next" href="/category/{name}?page={page + 1}">next</a>')
    return _page(name.capitalize(), f"{_list(products)}<p>{' '.join(turns)}</p>")


def product(shown: Product, reviews: Sequence[Review], related: Sequence[Product]) -> str:
    told = "".join(f"<li>{'★' * each.stars} {html.escape(each.text)}</li>" for each in reviews)
    return _page(
        shown.name,
        f'<div class="product"><img src="/static/img/{shown.id}.svg" alt="">'
        f'<div><p class="price">{money(shown.price)}</p><p>{html.escape(shown.text)}</p>'
        f'<p class="soft">{shown.stock} in stock, in '
        f'<a href="/category/{shown.category}">{shown.category}</a></p>'
        f'<form method="post" action="/api/cart"><input type="hidden" name="product" value="{shown.id}">'
        f"<button>Into the cart</button></form><ul>{told or '<li>No reviews yet.</li>'}</ul></div></div>"
        f"<h2>Others like it</h2>{_list(related)}",
    )


def search(words: str, products: Sequence[Product]) -> str:
    found = _list(products) if products else "<p>Nothing found.</p>"
    return _page(f"Search: {words}", found)


def account(name: str, cart: Sequence[tuple[int, str, int, int]]) -> str:
    lines = "".join(
        f'<li>{quantity} × <a href="/product/{number}">{html.escape(title)}</a>, {money(price)}</li>'
        for number, title, price, quantity in cart
    )
    return _page(
        f"Hello, {name}",
        f"<p>This page is yours alone: no shared cache keeps it.</p><h2>Your cart</h2>"
        f"<ul>{lines or '<li>empty</li>'}</ul>"
        '<form method="post" action="/account/login"><input name="name" placeholder="another name" required>'
        "<button>Sign in</button></form>",
    )


def problem(title: str) -> str:
    return _page(title, '<p><a href="/">Back to the shop</a></p>')


def picture(shown: Product) -> str:
    """A picture of the product as SVG, drawn from its number."""
    hue, turn, size = shown.id * 47 % 360, shown.id * 29 % 90, 30 + shown.id * 13 % 40
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">'
        f'<rect width="200" height="200" fill="hsl({hue} 45% 90%)"/>'
        f'<g transform="rotate({turn} 100 100)"><rect x="{100 - size}" y="{100 - size}" width="{2 * size}" '
        f'height="{2 * size}" rx="{size // 3}" fill="hsl({hue} 50% 45%)"/></g>'
        f'<text x="100" y="190" font-family="sans-serif" font-size="14" text-anchor="middle">'
        f"{html.escape(shown.category)}</text></svg>"
    )


def money(cents: int) -> str:
    return f"€ {cents // 100}.{cents % 100:02d}"


def _list(products: Sequence[Product]) -> str:
    return (
        '<ul class="products">'
        + "".join(
            f'<li><a href="/product/{each.id}"><img src="/static/img/{each.id}.svg" alt="" loading="lazy">'
            f'{html.escape(each.name)}</a><br><span class="price">{money(each.price)}</span></li>'
            for each in products
        )
        + "</ul>"
    )


def _page(title: str, body: str) -> str:
    title = html.escape(title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title} · Shop</title><link rel="stylesheet" href="/static/app.css"></head><body>'
        '<header><strong><a href="/">The Shop</a></strong>'
        '<form action="/search"><input name="q" placeholder="search"></form>'
        '<a href="/account">account</a></header>'
        f"<main><h1>{title}</h1>{body}</main></body></html>\n"
    )
