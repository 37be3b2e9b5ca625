"""What is said of a body that does not fit."""

import msgspec
import pytest

from edgeproxy.admin.app import SteerBody
from edgeproxy.admin.purge import PurgeBody
from edgeproxy.admin.wording import with_advice


@pytest.mark.parametrize(
    ("body", "kind", "advice"),
    [
        (b'{"state": "draining"}', SteerBody, '; write state: "drain", "up", "down"'),
        (b"{}", SteerBody, '; write state: "drain", "up", "down"'),
        (b'{"tag": ["x"]}', PurgeBody, "; did you mean tags?"),
        (
            b'{"zzz": 1}',
            PurgeBody,
            "; there are: urls, tags, prefix, host, everything, soft, wait, dry_run, rate",
        ),
        (b'{"tags": "x"}', PurgeBody, '; write tags: ["..."]'),
        (b'{"host": 1}', PurgeBody, '; write host: "..."'),
        (b'{"soft": 1}', PurgeBody, "; write soft: true or false"),
        (b"[]", PurgeBody, ""),
    ],
)
def test_it_says_what_to_write_instead(body: bytes, kind: type, advice: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=kind)
    said = with_advice(str(caught.value), kind)
    assert said == str(caught.value) + advice
