import re

from edgeproxy.config.model import Admin, Cache, Config, Disk, Origin, Route, Server, Upstream
from edgeproxy.server.identity import Identity, card_of


def config(path: str | None = None, node: str | None = None, port: int = 9900) -> Config:
    return Config(
        server=Server(node=node),
        admin=Admin(listen=f"127.0.0.1:{port}"),
        cache=Cache(disk=None if path is None else Disk(path=path)),
        upstreams={"a": Upstream(origins=(Origin(url="http://127.0.0.1:1"),))},
        routes=(Route(name="a", upstream="a"),),
    )


def name(path: str | None = None, node: str | None = None) -> str:
    identity = Identity(config(path, node))
    identity.close()
    return identity.name


def test_a_name_of_its_own_or_the_hosts_and_digits_that_are_kept_beside_the_disk_tier(tmp_path):
    path = str(tmp_path / "var")
    assert name(path, "edge-7") == "edge-7"
    assert re.fullmatch(r"[A-Za-z0-9._-]+-[0-9a-f]{8}", name())
    assert name() != name()
    assert name(path) == name(path)


def test_two_nodes_never_have_one_name(tmp_path, caplog):
    one = Identity(config(str(tmp_path)))
    other = Identity(config(str(tmp_path)))
    assert one.name != other.name
    assert "set server.node" in caplog.text
    one.close()
    assert name(str(tmp_path)) == one.name


def test_a_damaged_or_unwritable_file_gives_a_new_name(tmp_path):
    (tmp_path / "node").write_text("..%/x")
    assert name(str(tmp_path)) == name(str(tmp_path))
    (tmp_path / "file").write_text("")
    assert re.fullmatch(r".+-[0-9a-f]{8}", name(str(tmp_path / "file" / "below")))


def test_a_place_is_an_address_that_only_one_can_listen_on():
    assert card_of(config(), 2).place == card_of(config(), 2).place != ""
    assert card_of(config(port=9901), 2).place != card_of(config(), 2).place
    assert card_of(config(port=0), 2).place == ""
