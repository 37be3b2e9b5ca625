"""Knows the shop's products: how they are made, kept in SQLite and asked for, each query counted.

Must not know HTTP.
"""

import asyncio
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 20250101
OPENED = 1_735_689_600  # 2025-01-01, when the first product was put on sale
PAGE_SIZE = 24


def _words(line: str) -> list[str]:
    return line.split()


CATEGORIES = _words(
    "bags bicycles books boots cameras chairs clocks coats coffee games garden hats "
    "kitchen lamps music paper plants shoes tea toys"
)
_ADJECTIVES = _words(
    "amber blue bright calm classic copper cosy crisp deep early fine folding gentle golden grand green "
    "ivory light little lucky mellow misty modern narrow noble northern pale plain quick quiet round royal "
    "rustic silver simple slim smooth soft solid southern steady sturdy sunny swift tidy velvet warm wild"
)
_PLACES = _words(
    "Aachen Bergen Cadiz Delft Evora Faro Ghent Heide Ibiza Jena Krakow Lund Malmo Nantes Oslo Porto "
    "Quimper Riga Siena Turku Utrecht Varna Wien York Zagreb"
)
_PRAISE = (
    "Does what it should.",
    "Better than the one before.",
    "Arrived in two days, well packed.",
    "A present; they loved it.",
    "Smaller than I thought.",
    "Would buy again.",
)


@dataclass(frozen=True, slots=True)
class Product:
    """One product; the price in cents, `updated` in seconds since the Unix epoch."""

    id: int
    name: str
    category: str
    price: int
    stock: int
    text: str
    updated: int


@dataclass(frozen=True, slots=True)
class Review:
    """What a customer wrote about a product; one to five stars."""

    stars: int
    text: str


_SCHEMA = """
CREATE TABLE product (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price INTEGER NOT NULL,
  stock INTEGER NOT NULL, text TEXT NOT NULL, updated INTEGER NOT NULL
);
CREATE INDEX product_category ON product (category, id);
CREATE TABLE review (product INTEGER NOT NULL REFERENCES product, stars INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX review_product ON review (product);
CREATE TABLE cart (
  session TEXT NOT NULL, product INTEGER NOT NULL REFERENCES product, quantity INTEGER NOT NULL,
  PRIMARY KEY (session, product)
);
"""
_COLUMNS = "id, name, category, price, stock, text, updated"


def make_products(count: int) -> list[Product]:
    """The first `count` products, the same on every machine."""
    chance = random.Random(SEED)
    products = []
    for number in range(1, count + 1):
        category = CATEGORIES[(number - 1) % len(CATEGORIES)]
        adjective, place = chance.choice(_ADJECTIVES), chance.choice(_PLACES)
        name = f"{adjective.capitalize()} {category} of {place}"
        text = " ".join(
            f"{chance.choice(_ADJECTIVES).capitalize()} and {chance.choice(_ADJECTIVES)}, made in {place}."
            for _ in range(chance.randint(3, 12))
        )
        price, stock = chance.randrange(199, 49_900, 10), chance.randint(0, 400)
        products.append(Product(number, name, category, price, stock, text, OPENED + number * 3600))
    return products


def create(path: Path, count: int) -> None:
    """Write a fresh catalogue of `count` products to `path`, which appears only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    os.close(handle)
    chance = random.Random(SEED + 1)
    products = make_products(count)
    reviews = [
        (product.id, chance.randint(2, 5), chance.choice(_PRAISE))
        for product in products
        for _ in range(chance.randint(0, 4))
    ]
    database = sqlite3.connect(unfinished)
    try:
        with database:
            database.executescript(_SCHEMA)
            database.executemany(
                "INSERT INTO product VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(p.id, p.name, p.category, p.price, p.stock, p.text, p.updated) for p in products],
            )
            database.executemany("INSERT INTO review VALUES (?, ?, ?)", reviews)
        # WAL: several shops read one file while one of them writes.
        database.execute("PRAGMA journal_mode=WAL")
    finally:
        database.close()
    Path(unfinished).replace(path)


class Catalog:
    """The database behind the shop, asked from one thread of its own.

    `queries` counts every statement sent to SQLite. `delay` (seconds) is added to each
    one, as a database on another machine would.
    """

    def __init__(self, path: Path, delay: float = 0.0) -> None:
        self._delay = delay
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._database = self._thread.submit(_open, path).result()
        self.queries = 0

    def __repr__(self) -> str:
        return f"<Catalog queries={self.queries}>"

    async def close(self) -> None:
        """Wait for the query that runs, then close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()

    async def product(self, number: int) -> Product | None:
        rows = await self._ask(f"SELECT {_COLUMNS} FROM product WHERE id = ?", (number,))
        return Product(*rows[0]) if rows else None

    async def reviews(self, number: int) -> list[Review]:
        rows = await self._ask("SELECT stars, text FROM review WHERE product = ?", (number,))
        return [Review(*row) for row in rows]

    async def related(self, product: Product) -> list[Product]:
        """Up to four others of its category."""
        return await self._products(
            "WHERE category = ? AND id <> ? ORDER BY abs(price - ?), id LIMIT 4",
            (product.category, product.id, product.price),
        )

    async def categories(self) -> list[tuple[str, int]]:
        """Each category with the number of its products."""
        return await self._ask("SELECT category, count(*) FROM product GROUP BY category ORDER BY category")

    async def newest(self, count: int) -> list[Product]:
        return await self._products("ORDER BY updated DESC, id DESC LIMIT ?", (count,))

    async def page(self, category: str | None, page: int) -> list[Product]:
        """One page of a category, or of the whole shop; pages count from 1."""
        window = (PAGE_SIZE, (page - 1) * PAGE_SIZE)
        if category is None:
            return await self._products("ORDER BY id LIMIT ? OFFSET ?", window)
        return await self._products("WHERE category = ? ORDER BY id LIMIT ? OFFSET ?", (category, *window))

    async def search(self, words: str) -> list[Product]:
        """The first page of products whose name or text holds `words`."""
        escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return await self._products(
            "WHERE name LIKE ?1 ESCAPE '\\' OR text LIKE ?1 ESCAPE '\\' ORDER BY id LIMIT ?2",
            (f"%{escaped}%", PAGE_SIZE),
        )

    async def set_price(self, number: int, price: int) -> Product | None:
        """Write a price (cents); the changed product, or None when there is no such product."""
        await self._ask(
            "UPDATE product SET price = ?, updated = max(updated + 1, ?) WHERE id = ?",
            (price, int(time.time()), number),
        )
        return await self.product(number)

    async def put_in_cart(self, session: str, product: int, quantity: int) -> None:
        await self._ask(
            "INSERT INTO cart VALUES (?1, ?2, ?3) "
            "ON CONFLICT (session, product) DO UPDATE SET quantity = quantity + ?3",
            (session, product, quantity),
        )

    async def cart(self, session: str) -> list[tuple[int, str, int, int]]:
        """Product, its name, its price in cents and the quantity of each line of a session's cart."""
        return await self._ask(
            "SELECT id, name, price, quantity FROM cart JOIN product ON id = product "
            "WHERE session = ? ORDER BY id",
            (session,),
        )

    async def _products(self, where: str, values: Sequence[object]) -> list[Product]:
        rows = await self._ask(f"SELECT {_COLUMNS} FROM product {where}", values)
        return [Product(*row) for row in rows]

    async def _ask(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        self.queries += 1
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, statement, values)

    def _run(self, statement: str, values: Sequence[object]) -> list[Any]:
        if self._delay:
            time.sleep(self._delay)
        with self._database:
            return self._database.execute(statement, values).fetchall()


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10)
