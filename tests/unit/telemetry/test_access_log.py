import json
import os
import threading
from contextlib import suppress

import pytest

from edgeproxy.telemetry import access_log as module
from edgeproxy.telemetry.access_log import AccessLog, Record, format_line
from edgeproxy.telemetry.counters import Counters


def record(**changes) -> Record:
    plain = Record(
        time=1_700_000_000.25,
        client=b"192.0.2.1",
        method=b"GET",
        host=b"shop.example",
        path=b"/a?b=1",
        status=200,
        bytes=1234,
        duration=0.0012345678,
        route="static",
        outcome="hit",
    )
    return plain._replace(**changes)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_what_is_known_and_leaves_out_what_is_not():
    assert json.loads(format_line(record())) == {
        "time": "2023-11-14T22:13:20.250Z",
        "client": "192.0.2.1",
        "method": "GET",
        "host": "shop.example",
        "path": "/a?b=1",
        "status": 200,
        "bytes": 1234,
        "duration": 0.001235,
        "route": "static",
        "outcome": "hit",
    }


def test_hostile_bytes_stay_within_one_line():
    line = format_line(record(user_agent=b'x"\n\x00\xff\xc3\xa9', path=b"/\\"))
    assert line.count(b"\n") == 1
    assert json.loads(line)["user_agent"] == 'x"\n\x00\\xff\u00e9'


def test_a_line_never_exceeds_what_a_pipe_takes_at_once():
    line = format_line(record(user_agent=b"\x01" * 10_000, path=b"\x02" * 10_000, referer=b"\x03" * 10_000))
    assert len(line) <= module.MAX_WRITE
    assert json.loads(line)["status"] == 200


def test_all_lines_are_in_the_file_once_it_is_closed(tmp_path):
    log = AccessLog(str(tmp_path / "access.log"))
    for n in range(1000):
        log.add(record(status=n))
    log.close()
    assert [line["status"] for line in lines(tmp_path / "access.log")] == list(range(1000))


def test_writes_are_no_larger_than_a_pipe_takes_at_once(tmp_path, monkeypatch):
    wrote = []
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: wrote.append(data) or write(fd, data))
    log = AccessLog(str(tmp_path / "access.log"))
    for _ in range(500):
        log.add(tuple(record()))
    log.close()
    assert max(map(len, wrote)) <= module.MAX_WRITE
    assert len(wrote) < 50
    assert all(data.endswith(b"\n") for data in wrote)  # those of another worker may come between
    assert b"".join(wrote) == (tmp_path / "access.log").read_bytes()


def test_lines_that_come_while_others_are_written_are_all_there_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_INTERVAL", 0.0)
    monkeypatch.setattr(module, "_AT_ONCE", 7 * module.PARTS)
    monkeypatch.setattr(module, "MAX_QUEUE", 1 << 30)
    log = AccessLog(str(tmp_path / "access.log"))
    time, client, rest = module.time_part(1.0), module.client_part(b"192.0.2.1"), module.rest_part(record())
    for n in range(30_000):
        if n % 10:
            log.queue.extend((time, client, rest.replace(b"200", b"%d" % n)))
        else:
            log.add(record(status=n))
    log.close()
    assert [line["status"] for line in lines(tmp_path / "access.log")] == list(range(30_000))


def test_after_rotation_it_goes_on_in_a_new_file(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    while not path.exists():
        threading.Event().wait(0.01)
    log.add(record(status=404))
    log.close()
    assert [line["status"] for line in lines(path)] == [404]


def test_a_target_that_takes_nothing_drops_lines_counted_and_holds_nobody(monkeypatch, caplog):
    monkeypatch.setattr(module, "MAX_QUEUE", 10)
    monkeypatch.setattr(module, "_CLOSE_TIMEOUT", 0.3)
    counters = Counters.create()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    monkeypatch.setattr(AccessLog, "_open", lambda self: writer)
    log = AccessLog("a pipe nobody reads", counters)
    while log.dropped < 5:
        log.add(record(user_agent=b"x" * 1000))
    slot = counters.counter("edgeproxy_access_log_dropped_total")
    assert counters.ints[slot] == log.dropped
    assert "dropped=" in repr(log)
    log.close()
    assert "takes no lines" in caplog.text
    os.close(reader)
    log._thread.join()
    os.close(writer)
    counters.close()


def test_a_failing_write_is_counted_and_said_once(tmp_path, monkeypatch, caplog):
    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    log = AccessLog(str(tmp_path / "access.log"))
    for _ in range(100):
        log.add(record())
    log.close()
    assert log.dropped == 100
    assert caplog.text.count("No space left on device; make room") == 1


def test_a_file_that_cannot_be_opened_is_said_and_the_proxy_runs_without(tmp_path, caplog):
    assert AccessLog.of(str(tmp_path / "no" / "such" / "folder")) is None
    assert "no access log: cannot open" in caplog.text


def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one(tmp_path, caplog):
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    log.reopen()
    while "are lost" not in caplog.text:
        threading.Event().wait(0.01)
    log.add(record())
    log.close()
    assert len(lines(tmp_path / "moved" / "access.log")) == 1


@pytest.mark.parametrize("target", ["off"])
def test_off_is_no_log(target):
    assert AccessLog.of(target) is None


def test_stdout(capfd):
    log = AccessLog.of("stdout")
    assert log is not None
    log.add(record())
    log.close()
    assert json.loads(capfd.readouterr().out)["status"] == 200
