"""C2PA manifests signed with a certificate chain of our own, and the root that makes it trusted."""

import datetime
import json
from dataclasses import dataclass
from io import BytesIO

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Signatory:
    """A private key, its certificate with the root behind it, and that root, all PEM."""

    key: str
    chain: str
    root: str


def signatory(organisation: str = "Studio") -> Signatory:
    """A root and a certificate for signing, valid for a day."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name(f"{organisation} Root"), _name(organisation)
    root = _certificate(root_name, root_key.public_key(), root_name, root_key, authority=True)
    leaf = _certificate(name, key.public_key(), root_name, root_key, authority=False)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Signatory(pem.decode(), _pem(leaf) + _pem(root), _pem(root))


def _name(organisation: str) -> x509.Name:
    names = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, f"{organisation} Signer"))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in names])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                key_cert_sign=authority,
                crl_sign=authority,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def signed(
    image: bytes,
    media_type: str,
    by: Signatory,
    source_type: str = AI,
    remote: str | None = None,
    clock: str | None = None,
) -> bytes:
    """The image with a manifest that says how it was made.

    remote: an address to name instead of the manifest. clock: the address of a time-stamping authority.
    """
    action = {"action": "c2pa.created", "digitalSourceType": source_type, "softwareAgent": {"name": "Test Generator"}}
    manifest = {
        "claim_generator_info": [{"name": "Test Generator", "version": "1.0"}],
        "title": "a picture",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, by.chain.encode(), by.key.encode(), clock)
    settings = {"verify": {"verify_after_sign": False}, "builder": {"thumbnail": {"enabled": False}}}
    with c2pa.Signer.from_info(info) as signer, c2pa.Context.from_dict(settings) as context:
        builder = c2pa.Builder(json.dumps(manifest), context=context)
        if remote is not None:
            builder.set_no_embed()
            builder.set_remote_url(remote)
        written = BytesIO()
        builder.sign(signer, media_type, BytesIO(image), written)
    return written.getvalue()
