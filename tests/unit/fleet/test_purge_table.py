import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.stored import Stamp
from edgeproxy.fleet import purge_places as module
from edgeproxy.fleet.purge_table import UNSETTLED, PurgeTable, Verdict
from edgeproxy.fleet.rules import PurgeKind, PurgeRule

LOG = b"L" * 16
KEY = b"http://shop.example/static/a.css?v=1"
REST = b"shop.example/static/a.css?v=1"


@pytest.fixture
def table():
    made = PurgeTable.create()
    yield made
    made.close()
    module.places.cache_clear()  # tests change the number of buckets


def url(rest: bytes = REST, soft: bool = False) -> PurgeRule:
    return PurgeRule(PurgeKind.URL, rest, soft)


def elsewhere(position: int, log: bytes = LOG) -> Stamp:
    return Stamp(log=log, position=position, run=b"another run 16 b", local=10**9)


NAMES = [
    pytest.param(PurgeKind.URL, REST, True, id="its-url"),
    pytest.param(PurgeKind.URL, b"shop.example/static/a.css", False, id="url-with-another-query"),
    pytest.param(PurgeKind.TAG, b"css", True, id="a-tag-of-it"),
    pytest.param(PurgeKind.TAG, b"CSS", False, id="tags-keep-their-case"),
    pytest.param(PurgeKind.PREFIX, b"shop.example/static/", True, id="a-prefix"),
    pytest.param(PurgeKind.PREFIX, REST, True, id="a-prefix-of-its-whole-length"),
    pytest.param(PurgeKind.PREFIX, REST + b"0", False, id="a-longer-prefix"),
    pytest.param(PurgeKind.PREFIX, b"shop.example/other/", False, id="another-prefix"),
    pytest.param(PurgeKind.PREFIX, b"", True, id="the-empty-prefix"),
    pytest.param(PurgeKind.HOST, b"shop.example", True, id="its-host"),
    pytest.param(PurgeKind.HOST, b"example", False, id="another-host"),
    pytest.param(PurgeKind.EVERYTHING, b"", True, id="everything"),
]


@pytest.mark.parametrize(("kind", "value", "named"), NAMES)
def test_a_rule_takes_what_it_names_and_nothing_else(table, kind, value, named):
    stamp = table.stamp()
    table.apply(PurgeRule(kind, value))
    expected = Verdict.DEAD if named else Verdict.LIVE
    assert table.verdict(KEY, (b"css", b"all"), stamp) is expected
    assert table.verdict(KEY, (b"css", b"all"), table.stamp()) is Verdict.LIVE


@pytest.mark.parametrize(("kind", "value", "named"), NAMES)
def test_a_soft_rule_makes_stale(table, kind, value, named):
    stamp = table.stamp()
    table.apply(PurgeRule(kind, value, soft=True))
    assert table.verdict(KEY, (b"css",), stamp) is (Verdict.SOFT if named else Verdict.LIVE)


def test_a_url_rule_takes_http_and_https(table):
    stamp = table.stamp()
    table.apply(url())
    assert table.verdict(KEY.replace(b"http:", b"https:"), (), stamp) is Verdict.DEAD


@pytest.mark.parametrize(
    ("key", "rule", "dead"),
    [
        pytest.param(b"http://a:81/x", b"a", True, id="a-host-takes-every-port"),
        pytest.param(b"http://a:81/x", b"a:81", True, id="a-port-can-be-named"),
        pytest.param(b"http://a/x", b"a:81", False, id="a-named-port-takes-only-that"),
        pytest.param(b"http://[::1]:81/x", b"[::1]", True, id="ipv6"),
    ],
)
def test_hosts_and_ports(table, key, rule, dead):
    stamp = table.stamp()
    table.apply(PurgeRule(PurgeKind.HOST, rule))
    assert table.verdict(key, (), stamp) is (Verdict.DEAD if dead else Verdict.LIVE)


def test_a_hard_rule_counts_beside_a_later_soft_one(table):
    stamp = table.stamp()
    table.apply(url())
    between = table.stamp()
    table.apply(url(soft=True))
    assert table.verdict(KEY, (), stamp) is Verdict.DEAD
    assert table.verdict(KEY, (), between) is Verdict.SOFT


def test_a_purge_during_a_fetch_wins(table):
    at_start = table.stamp()
    table.apply(url())
    at_end = table.stamp()
    assert table.verdict(KEY, (), at_start) is Verdict.DEAD
    assert table.verdict(KEY, (), at_end) is Verdict.LIVE


def test_the_number_moves_with_every_change_and_is_seen_by_every_process(table):
    other = PurgeTable(os.dup(table.fd))
    before = other.seq[0]
    stamp = other.stamp()
    table.apply(url())
    assert other.seq[0] != before
    assert other.run == table.run
    assert other.verdict(KEY, (), stamp) is Verdict.DEAD
    table.apply(PurgeRule(PurgeKind.PREFIX, b"shop.example/n"))
    assert other.verdict(b"http://shop.example/new", (), stamp) is Verdict.DEAD
    other.close()


def test_a_stamp_carries_the_log_only_once_it_was_replayed(table):
    assert table.stamp() == Stamp(run=table.run)
    table.advance(5)
    assert table.stamp().position == 0
    table.follow(LOG, 1, 7)
    assert table.stamp() == Stamp(log=LOG, position=7, run=table.run, local=0)


@pytest.mark.parametrize(
    ("stamp", "verdict"),
    [
        pytest.param(elsewhere(9), Verdict.DEAD, id="fetched-before-the-rule"),
        pytest.param(elsewhere(10), Verdict.LIVE, id="fetched-after-the-rule"),
        pytest.param(elsewhere(10, b"M" * 16), Verdict.DEAD, id="of-another-log"),
        pytest.param(elsewhere(10, b""), Verdict.DEAD, id="of-no-log"),
        pytest.param(elsewhere(3), Verdict.DEAD, id="before-the-first-position-kept"),
    ],
)
def test_a_response_from_elsewhere_is_judged_by_the_fleets_log(table, stamp, verdict):
    table.follow(LOG, 5, 9)
    table.apply(url(), 10)
    table.advance(10)
    assert table.verdict(KEY, (), stamp) is verdict


def test_the_first_position_kept_allows_what_was_stamped_just_before_it(table):
    table.follow(LOG, 5, 9)
    assert table.verdict(KEY, (), elsewhere(4)) is Verdict.LIVE
    assert table.verdict(KEY, (), elsewhere(3)) is Verdict.DEAD


def test_without_a_log_nothing_from_elsewhere_is_used(table):
    assert table.verdict(KEY, (), elsewhere(4)) is Verdict.DEAD
    assert table.verdict(KEY, (), elsewhere(4, b"")) is Verdict.DEAD


def test_a_rule_that_the_log_does_not_hold_yet_is_late_for_all_from_elsewhere(table):
    table.follow(LOG, 1, 9)
    own = table.stamp()
    table.apply(url())
    after = table.stamp()
    assert table.verdict(KEY, (), elsewhere(10**12)) is Verdict.DEAD
    table.settle(url(), 10)
    assert table.verdict(KEY, (), elsewhere(9)) is Verdict.DEAD
    assert table.verdict(KEY, (), elsewhere(10)) is Verdict.LIVE
    assert table.verdict(KEY, (), own) is Verdict.DEAD
    assert table.verdict(KEY, (), after) is Verdict.LIVE


def test_another_log_spares_what_this_run_fetched(table):
    table.follow(LOG, 1, 9)
    own = table.stamp()
    table.follow(b"M" * 16, 1, 2)
    assert table.verdict(KEY, (), own) is Verdict.LIVE
    assert table.verdict(KEY, (), elsewhere(9)) is Verdict.DEAD
    assert table.stamp() == Stamp(log=b"M" * 16, position=2, run=table.run, local=0)
    table.follow(b"", 0, 0)
    assert table.log == b""
    assert "log=None" in repr(table)


def test_positions_of_one_log_mean_nothing_in_another_but_unsettled_rules_stay_so(table):
    other = b"M" * 16
    table.follow(LOG, 1, 9)
    table.apply(url(), 500)
    table.apply(url(b"h/unsettled"))
    table.follow(b"", 0, 0)
    table.apply(url(b"h/new"), 3)
    table.follow(other, 1, 3)
    assert table.verdict(KEY, (), elsewhere(3, other)) is Verdict.LIVE
    assert table.verdict(b"http://h/unsettled", (), elsewhere(3, other)) is Verdict.DEAD
    assert table.verdict(b"http://h/new", (), elsewhere(2, other)) is Verdict.DEAD
    assert table.verdict(b"http://h/new", (), elsewhere(3, other)) is Verdict.LIVE
    table.settle_all(4)
    assert table.verdict(b"http://h/unsettled", (), elsewhere(3, other)) is Verdict.DEAD
    assert table.verdict(b"http://h/unsettled", (), elsewhere(4, other)) is Verdict.LIVE


def test_a_full_bucket_forgets_names_but_purges_no_less(table, monkeypatch):
    module.places.cache_clear()
    monkeypatch.setattr(module, "BUCKETS", 1)
    table.follow(LOG, 1, 1)
    rules = [url(b"h/%d" % n) for n in range(20)]
    first = table.stamp()
    for position, rule in enumerate(rules, start=2):
        table.apply(rule, position)
    for rule in rules:
        assert table.verdict(b"http://" + rule.value, (), first) is Verdict.DEAD
        assert table.verdict(b"http://" + rule.value, (), elsewhere(1)) is Verdict.DEAD
    assert table.verdict(b"http://h/other", (), first) is Verdict.DEAD
    assert table.verdict(b"http://h/other", (), table.stamp()) is Verdict.LIVE


def test_a_full_bucket_keeps_the_rules_that_the_log_does_not_hold_yet(table, monkeypatch):
    module.places.cache_clear()
    monkeypatch.setattr(module, "BUCKETS", 1)
    table.follow(LOG, 1, 1)
    table.apply(url(b"h/unsettled"))
    for position in range(2, 30):
        table.apply(url(b"h/%d" % position), position)
    assert table.verdict(b"http://h/new", (), elsewhere(29)) is Verdict.LIVE
    assert table.verdict(b"http://h/unsettled", (), elsewhere(29)) is Verdict.DEAD
    assert UNSETTLED not in table._epoch(module.FIRST_BUCKET + module.FLOOR)


def test_a_prefix_longer_than_any_target_is_refused():
    with pytest.raises(ValueError, match="8191"):
        PurgeRule(PurgeKind.PREFIX, b"x" * 8192)
    PurgeRule(PurgeKind.PREFIX, b"x" * 8191)


HOSTS = st.sampled_from([b"a", b"b:81"])
PATHS = st.sampled_from([b"/", b"/x", b"/x/y", b"/x?q"])
TAGS = st.lists(st.sampled_from([b"t", b"u"]), max_size=2).map(tuple)
RULES = st.one_of(
    st.builds(lambda h, p, s: url(h + p, s), HOSTS, PATHS, st.booleans()),
    st.builds(lambda t, s: PurgeRule(PurgeKind.TAG, t, s), st.sampled_from([b"t", b"u"]), st.booleans()),
    st.builds(lambda h, s: PurgeRule(PurgeKind.HOST, h, s), HOSTS, st.booleans()),
    st.builds(lambda h, p, s: PurgeRule(PurgeKind.PREFIX, h + p, s), HOSTS, PATHS, st.booleans()),
)


def names(rule: PurgeRule, rest: bytes, tags: tuple[bytes, ...]) -> bool:
    match rule.kind:
        case PurgeKind.URL:
            return rest == rule.value
        case PurgeKind.TAG:
            return rule.value in tags
        case PurgeKind.HOST:
            return rest.startswith(rule.value + b"/")
        case _:
            return rest.startswith(rule.value)


@given(
    before=st.lists(RULES, max_size=4), after=st.lists(RULES, max_size=6), host=HOSTS, path=PATHS, tags=TAGS
)
def test_the_table_says_what_the_list_of_rules_says(before, after, host, path, tags):
    table = PurgeTable.create()
    try:
        for rule in before:
            table.apply(rule)
        stamp = table.stamp()
        for rule in after:
            table.apply(rule)
        hits = [rule for rule in after if names(rule, host + path, tags)]
        expected = Verdict.LIVE
        if any(rule.soft for rule in hits):
            expected = Verdict.SOFT
        if any(not rule.soft for rule in hits):
            expected = Verdict.DEAD
        assert table.verdict(b"https://" + host + path, tags, stamp) is expected
    finally:
        table.close()


@pytest.mark.parametrize("soft", [True, False])
def test_a_rule_as_of_a_mark_spares_what_was_fetched_since(table, soft):
    before = table.stamp()
    mark = table.mark()
    since = table.stamp()
    table.apply(PurgeRule(PurgeKind.TAG, b"other"))
    table.apply(url(soft=soft), order=mark)
    assert table.verdict(KEY, (), before) is (Verdict.SOFT if soft else Verdict.DEAD)
    assert table.verdict(KEY, (), since) is Verdict.LIVE
    table.apply(url(soft=soft))
    table.apply(url(soft=soft), order=mark)
    assert table.verdict(KEY, (), since) is not Verdict.LIVE, "a later rule stays"


def test_what_is_being_fetched_is_spared_by_purges_of_something_else(table):
    stamp = table.stamp()
    table.apply(url(b"shop.example/other"))
    assert table.spared(KEY, None, stamp)
    table.apply(PurgeRule(PurgeKind.TAG, b"css"))
    assert not table.spared(KEY, None, stamp), "nobody knows its tags yet"
    assert table.spared(KEY, (b"js",), stamp)
    assert not table.spared(KEY, (b"css",), stamp)
    assert table.spared(KEY, None, table.stamp())
    table.apply(url(soft=True))
    assert not table.spared(KEY, (b"js",), stamp)


def test_what_was_stored_before_a_doubt_is_validated_until_trusted(table):
    before = table.stamp()
    foreign = Stamp(b"l" * 16, 1, b"o" * 16, 0)
    table.follow(b"l" * 16, 1, 5)
    table.doubt()
    after = table.stamp()
    assert table.verdict(b"http://h/", (), before) is Verdict.SOFT
    assert table.verdict(b"http://h/", (), foreign) is Verdict.SOFT
    assert table.verdict(b"http://h/", (), after) is Verdict.LIVE
    seq = table.seq[0]
    table.trust()
    assert table.seq[0] == seq + 1
    assert table.verdict(b"http://h/", (), before) is Verdict.LIVE
    assert table.verdict(b"http://h/", (), foreign) is Verdict.LIVE
    table.trust()
    assert table.seq[0] == seq + 1


def test_a_table_in_a_file_goes_on_in_another_run(tmp_path):
    path = tmp_path / "purges"
    first = PurgeTable.make(path)
    old = first.stamp()
    first.apply(PurgeRule(PurgeKind.TAG, b"t"))
    first.doubt()
    first.flush()
    name, order = first.name, first.order
    first.close()
    second = PurgeTable.reopen(path)
    assert (second.name, second.order) == (name, order)
    now = Stamp(run=second.run, local=old.local)
    assert second.verdict(b"http://h/", (b"t",), now) is Verdict.DEAD
    assert second.verdict(b"http://h/", (), now) is Verdict.LIVE  # doubted no more
    assert second.verdict(b"http://h/", (), old) is Verdict.DEAD
    second.close()
