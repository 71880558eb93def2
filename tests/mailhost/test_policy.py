"""The policy that ships can be read, means what it says, and says clearly what is wrong with another."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from mailhost import policy
from mailhost.errors import SheetError
from mailhost.probes.hello import VERSIONS
from mailhost.probes.suites import GROUPS, SUITES


def test_every_line_fits_something_that_there_is():
    rules = policy.shipped()
    known = {
        "versions": VERSIONS,
        "suites": SUITES.values(),
        "groups": GROUPS.values(),
        "signatures": ("sha224", "sha256", "sha384", "sha512", "sha3-256", "none"),
    }
    for part, names in known.items():
        for line in getattr(rules, part):
            for pattern in line.names:
                assert any(fnmatchcase(name, pattern) for name in names), f"{part}: {pattern}"


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("TLS_AES_256_GCM_SHA384", "good"),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "sufficient"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", "sufficient"),
        ("TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "sufficient"),
        ("TLS_RSA_WITH_AES_256_CBC_SHA", "phase_out"),
        ("TLS_RSA_WITH_AES_128_CCM_8", "phase_out"),
        ("TLS_RSA_WITH_NULL_SHA256", "insufficient"),
        ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", "insufficient"),
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", "insufficient"),
        ("TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "insufficient"),
        ("TLS_DH_anon_WITH_AES_256_GCM_SHA384", "insufficient"),
        ("TLS_ECDH_RSA_WITH_AES_256_GCM_SHA384", "insufficient"),
        ("suite 0x5a5a", "insufficient"),
    ],
)
def test_suites(name: str, level: str):
    assert policy.shipped().suite(name) == level


def test_groups_versions_and_signatures():
    rules = policy.shipped()
    groups = ("x25519", "ffdhe2048", "DH 2048 bits", "secp224r1", "sect163k1", "DH 1024 bits")
    levels = ["good", "sufficient", "sufficient", "phase_out", "insufficient", "insufficient"]
    assert [rules.group(name) for name in groups] == levels
    assert [rules.version(name) for name in VERSIONS] == [*["insufficient"] * 3, "sufficient", "good"]
    assert [rules.signature(n) for n in ("sha256", "none", "sha1", "md5", "1.2.3")] == [
        "good",
        "good",
        *["insufficient"] * 3,
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rsa_bit": 1}, "rsa_bit"),
        ({"limits": {"rsa_bits": {"least": "2048", "source": "me"}}}, r"limits\.rsa_bits\.least"),
        ({"limits": {"rsa_bits": {"least": 512, "source": "me"}}}, r"limits\.rsa_bits\.least"),
        ({"limits": {"ec_bits": {"least": 256}}}, r"limits\.ec_bits\.source"),
        ({"suites": []}, "suites"),
        ({"groups": [{"names": ["x25519"], "level": "fine", "source": "me"}]}, r"groups\.0\.level"),
        ({"versions": [{"names": ["TLSv1.3"], "level": "good"}]}, r"versions\.0\.source"),
        ({"dated": "today"}, "dated"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, change: dict[str, object], told: str):
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(policy.SHIPPED.read_text()) | change))
    with pytest.raises(SheetError, match=rf"policy\.yaml: not a TLS policy: .*{told}"):
        policy.load(path)


@pytest.mark.parametrize("text", ["", "- a list", "a: [", None])
def test_a_file_that_is_no_policy(tmp_path: Path, text: str | None):
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SheetError, match="not a TLS policy"):
        policy.load(path)
