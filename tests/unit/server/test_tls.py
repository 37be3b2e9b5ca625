import ssl
from pathlib import Path

import pytest
import trustme

from edgeproxy.config.model import ListenerTls
from edgeproxy.server.tls import TlsFileError, server_context


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        certificate = trustme.CA().issue_cert("shop.example")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        with open(folder / f"{name}.pem", "wb") as file:
            for blob in certificate.cert_chain_pems:
                file.write(blob.bytes())
    (folder / "nonsense.pem").write_text("hello")
    return folder


def settings(folder: Path, certificate: str, key: str) -> ListenerTls:
    return ListenerTls.model_construct(certificate=str(folder / certificate), key=str(folder / key))


def test_a_context_of_a_matching_pair(files):
    context = server_context(settings(files, "one.pem", "one.key"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        pytest.param(
            "none.pem", "one.key", r"cannot read the TLS file .*none\.pem: No such file", id="missing"
        ),
        pytest.param("one.pem", "none.key", r"cannot read the TLS file .*none\.key", id="missing-key"),
        pytest.param("one.pem", "two.key", "does not belong to the certificate", id="mismatch"),
        pytest.param("nonsense.pem", "one.key", "no certificate and key in PEM", id="no-certificate"),
        pytest.param("one.pem", "nonsense.pem", "no certificate and key in PEM", id="no-key"),
    ],
)
def test_one_line_says_what_is_wrong_with_the_files(files, certificate, key, message):
    with pytest.raises(TlsFileError, match=message) as caught:
        server_context(settings(files, certificate, key))
    assert "\n" not in str(caught.value)


def test_an_encrypted_key_is_refused_without_asking_at_the_terminal(files):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((files / "one.key").read_bytes(), None)
    (files / "secret.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(TlsFileError, match="is encrypted"):
        server_context(settings(files, "one.pem", "secret.key"))
