from edgeproxy.wire.fields import Fields

FIELDS = Fields([(b"Host", b"a"), (b"Accept", b"x"), (b"ACCEPT", b"y"), (b"Empty", b"")])


def test_lookup_ignores_case_and_joins_lines() -> None:
    assert FIELDS.get(b"host") == b"a"
    assert FIELDS.get(b"accept") == b"x, y"
    assert FIELDS.get(b"empty") == b""
    assert FIELDS.get(b"none") is None
    assert FIELDS.get_all(b"accept") == [b"x", b"y"]
    assert FIELDS.get_all(b"none") == []
    assert b"accept" in FIELDS
    assert b"none" not in FIELDS


def test_order_case_and_duplicates_are_kept() -> None:
    assert list(FIELDS) == [(b"Host", b"a"), (b"Accept", b"x"), (b"ACCEPT", b"y"), (b"Empty", b"")]
    assert len(FIELDS) == 4


def test_equal_lines_make_equal_fields() -> None:
    assert Fields(list(FIELDS)) == FIELDS
    assert hash(Fields(list(FIELDS))) == hash(FIELDS)
    assert Fields() != FIELDS
    assert Fields() != ()
    assert repr(Fields([(b"A", b"b")])) == "Fields([(b'A', b'b')])"


def test_without_leaves_the_rest_as_it_was() -> None:
    assert FIELDS.without([b"accept"]).raw == ((b"Host", b"a"), (b"Empty", b""))
    assert len(FIELDS) == 4


def test_plus_appends() -> None:
    assert FIELDS.plus((b"X", b"1"), (b"Y", b"2")).raw[-2:] == ((b"X", b"1"), (b"Y", b"2"))


def test_replaced_takes_the_first_place_and_drops_the_others() -> None:
    assert FIELDS.replaced(b"accept", b"z").raw == ((b"Host", b"a"), (b"Accept", b"z"), (b"Empty", b""))
    assert Fields().replaced(b"Age", b"1").raw == ((b"Age", b"1"),)
