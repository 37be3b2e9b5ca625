from typing import Any

import pytest

from edgeproxy.config.load import load
from edgeproxy.config.model import Config
from edgeproxy.server.control import ControlError
from edgeproxy.server.reload import Reloader, ReloadRefused, keep_fixed
from edgeproxy.server.sources import FileSource

TEXT = """
server: {{listen: "{listen}", workers: {workers}, name: {name}}}
admin: {{listen: "127.0.0.1:9900", token: "{token}"}}
upstreams: {{shop: {{origins: ["http://127.0.0.1:9001"]}}}}
routes: [{{name: all, upstream: shop}}]
"""
PLAIN = {"listen": "127.0.0.1:8080", "workers": 2, "name": "edgeproxy", "token": "t"}


class Workers:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, dict[int, Any]] = {}

    async def ask(self, name: str, *args: Any, timeout: float) -> dict[int, Any]:
        self.asked.append(name)
        return self.answers.get(name, {0: None, 1: None})


class Setting:
    def __init__(self, folder) -> None:
        self.file = folder / "edgeproxy.yaml"
        self.write()
        self.config: Config = load(self.file)
        self.workers = Workers()
        self.counted: list[str] = []
        self.reloader = Reloader(
            FileSource(str(self.file)), self.workers, lambda: self.config, self.take, self.counted.append
        )

    def write(self, **changes) -> None:
        self.file.write_text(TEXT.format(**PLAIN | changes))

    def take(self, config: Config) -> None:
        self.config = config


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


async def test_all_workers_prepare_before_any_switches(setting):
    setting.write(name="edge")
    done = await setting.reloader.reload()
    assert setting.workers.asked == ["prepare", "switch"]
    assert setting.config.server.name == "edge"
    assert done.changed == ["server.name: edgeproxy -> edge"]
    assert done.needs_restart == []
    assert setting.counted == ["applied"]


async def test_one_worker_that_cannot_keeps_the_old_one_everywhere(setting, caplog):
    old = setting.config
    setting.write(name="edge")
    setting.workers.answers["prepare"] = {0: None, 1: ControlError("the CA cannot be read")}
    with pytest.raises(ReloadRefused) as caught:
        await setting.reloader.reload()
    assert caught.value.mistakes == ["the CA cannot be read"]
    assert setting.workers.asked == ["prepare"]
    assert setting.config is old
    assert setting.counted == ["refused"]
    assert "the old one stays in force" in caplog.text


async def test_a_worker_that_dies_while_switching_does_not_hold_the_others(setting, caplog):
    setting.write(name="edge")
    setting.workers.answers["switch"] = {0: None, 1: ControlError("gone")}
    await setting.reloader.reload()
    assert setting.config.server.name == "edge"
    assert "worker 1 did not switch: gone" in caplog.text


async def test_every_mistake_is_told(setting):
    setting.file.write_text("upstreams: 1\nroutes: 2\n")
    with pytest.raises(ReloadRefused) as caught:
        await setting.reloader.reload()
    assert len(caught.value.mistakes) >= 2
    assert setting.workers.asked == []


async def test_nothing_changed_is_fine(setting):
    done = await setting.reloader.reload()
    assert (done.changed, done.needs_restart) == ([], [])


async def test_without_a_file_there_is_nothing_to_read():
    reloader = Reloader(None, Workers(), lambda: None, lambda config: None)
    with pytest.raises(ReloadRefused, match="started without a file"):
        await reloader.reload()
    assert repr(reloader) == "<Reloader None>"


async def test_what_needs_a_restart_is_told_and_stays(setting):
    setting.write(listen="127.0.0.1:8081", workers=3, name="edge")
    done = await setting.reloader.reload()
    assert done.needs_restart == ["server.listen", "server.workers"]
    assert setting.config.server.listen[0].address == "127.0.0.1:8080"
    assert setting.config.server.workers == 2
    assert setting.config.server.name == "edge"
    again = await setting.reloader.reload()
    assert again.needs_restart == ["server.listen", "server.workers"]


def test_the_admin_token_changes_and_its_address_does_not(setting):
    old = setting.config
    setting.write(token="other")
    new = load(setting.file)
    kept = keep_fixed(
        old, new.model_copy(update={"admin": new.admin.model_copy(update={"listen": "127.0.0.1:1"})})
    )
    assert kept.admin.listen == "127.0.0.1:9900"
    assert kept.admin.token == "other"
