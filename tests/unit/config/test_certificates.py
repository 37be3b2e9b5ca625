"""TLS files: there, readable, loadable, and belonging together."""

from pathlib import Path

import pytest
import trustme

from tests.unit.config.yaml_texts import REST, lines, loaded, refused


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A directory with an authority, a pair, another pair's key, and a file that is no PEM."""
    authority = trustme.CA()
    pair, other = authority.issue_cert("edge.example"), authority.issue_cert("other.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "crt.pem")
    pair.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "junk.pem").write_text("nothing here\n")
    (tmp_path / "dir.pem").mkdir()
    return tmp_path


def listener(certificate: str, key: str) -> str:
    return (
        f"server: {{listen: [{{address: '127.0.0.1:0', tls: {{certificate: {certificate}, key: {key}}}}}]}}"
    )


def test_a_pair_beside_the_file_is_found(pem: Path) -> None:
    (one,) = loaded(listener("crt.pem", "key.pem"), base=pem).server.listen
    assert one.tls is not None
    assert one.tls.certificate == str(pem / "crt.pem")


@pytest.mark.parametrize(
    ("certificate", "key", "path", "what"),
    [
        ("none.pem", "key.pem", "certificate", "{pem}/none.pem: no such file or directory, give a PEM file"),
        ("crt.pem", "none.pem", "key", "{pem}/none.pem: no such file or directory, give a PEM file"),
        ("dir.pem", "key.pem", "certificate", "{pem}/dir.pem: is a directory, give a PEM file"),
        (
            "junk.pem",
            "key.pem",
            "certificate",
            "{pem}/junk.pem and {pem}/key.pem do not load, give PEM files",
        ),
        (
            "crt.pem",
            "junk.pem",
            "certificate",
            "{pem}/crt.pem and {pem}/junk.pem do not load, give PEM files",
        ),
        (
            "crt.pem",
            "other.pem",
            "certificate",
            "{pem}/crt.pem does not belong to the key {pem}/other.pem, give",
        ),
    ],
)
def test_a_pair_that_does_not_serve_is_refused(
    pem: Path, certificate: str, key: str, path: str, what: str
) -> None:
    (line,) = lines(refused(listener(certificate, key), base=pem))
    assert f"server.listen[0].tls.{path}: {what.format(pem=pem)}" in line


def test_both_missing_files_are_told(pem: Path) -> None:
    assert len(refused(listener("none.pem", "neither.pem"), base=pem)) == 2


def test_a_listener_alone_is_looked_at_too(pem: Path) -> None:
    text = "server: {listen: {address: '127.0.0.1:0', tls: {certificate: none.pem, key: key.pem}}}"
    assert len(refused(text, base=pem)) == 1


def test_an_encrypted_key_is_refused_without_a_question(pem: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((pem / "key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hush"),
    )
    (pem / "locked.pem").write_bytes(locked)
    (line,) = lines(refused(listener("crt.pem", "locked.pem"), base=pem))
    assert "do not load" in line
    assert "the key without a password" in line


def upstream(tls: str) -> str:
    return REST.replace("{origins: [", f"{{tls: {{{tls}}}, origins: [").replace("http:", "https:")


def test_an_upstream_s_files_are_looked_at(pem: Path) -> None:
    config = loaded("", rest=upstream("ca: ca.pem, certificate: crt.pem, key: key.pem"), base=pem)
    assert config.upstreams["shop"].tls.ca == str(pem / "ca.pem")
    (line,) = lines(refused("", rest=upstream("ca: junk.pem"), base=pem))
    assert f"upstreams.shop.tls.ca: {pem}/junk.pem holds no certificate, give a PEM file" in line


def test_paths_that_are_no_paths_are_left_to_their_fields(pem: Path) -> None:
    (line,) = lines(refused(listener('"a\\0b"', "key.pem"), base=pem))
    assert "tls.certificate: no path" in line
