"""Reasons: one name for each rule, with its section."""

from edgeproxy.caching.reasons import Reason

OPERATORS_OWN = {
    Reason.DISABLED,
    Reason.EARLY,
    Reason.PURGED,
    Reason.SOFT_PURGED,
    Reason.TOO_LARGE,
    Reason.EVENT_STREAM,
    Reason.STORED_ERROR,
}


def test_every_reason_but_the_operator_s_own_names_its_section() -> None:
    assert {reason for reason in Reason if not reason.section} == OPERATORS_OWN


def test_reasons_are_tokens() -> None:
    assert all(reason.replace("-", "").isalnum() and reason.islower() for reason in Reason)
