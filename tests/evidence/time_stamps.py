"""A time-stamping authority (RFC 3161) on this machine, made with openssl."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SETTINGS = """
[tsa]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
certs = {folder}/root.pem
signer_key = {folder}/signer.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""
USES = (
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
)
NEW_KEY = ("-newkey", "rsa:2048", "-nodes")


@contextmanager
def authority(folder: Path) -> Iterator[tuple[str, str]]:
    """Its address and its root certificate, PEM. It answers while the context lasts; its files are in `folder`."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    (folder / "settings").write_text(SETTINGS.format(folder=folder))
    (folder / "serial").write_text("01")
    (folder / "uses").write_text(USES)
    openssl("req", "-x509", *NEW_KEY, "-keyout", "root.key", "-out", "root.pem", "-days", "2", "-subj", "/O=Clock Root")
    openssl("req", *NEW_KEY, "-keyout", "signer.key", "-out", "request", "-subj", "/O=Clock/CN=Clock")
    issuer = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", "request", *issuer, "-out", "signer.pem", "-days", "2", "-extfile", "uses")

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            openssl("ts", "-reply", "-queryfile", "query", "-config", "settings", "-section", "tsa", "-out", "reply")
            reply = (folder / "reply").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """Keeps stderr empty."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", (folder / "root.pem").read_text()
        finally:
            server.shutdown()
