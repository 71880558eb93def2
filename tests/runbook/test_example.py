"""parameters/example.yaml explains every key of a sheet, and is right in each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from mailhost import sheet

EXAMPLE = Path(__file__).resolve().parents[2] / "parameters" / "example.yaml"


def keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        found.add(prefix + name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= keys(kind, f"{prefix}{name}.")
    return found


def uncommented() -> str:
    """The example with each commented key put in force: `# key:` and what hangs below it."""
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        body = line.lstrip().removeprefix("# ")
        indent = line[: len(line) - len(line.lstrip())]
        is_value = line.lstrip().startswith("# ") and re.match(r"\s*([a-z0-9_]+:( \S+)?$|[a-z0-9_]+: \"|- )", body)
        lines.append(indent + body if is_value else line)
    return "\n".join(lines)


def flat(values: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        found.add(prefix + key)
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
    return found


def with_files(values: Any, base: Path) -> Any:
    """Make the files that the values name, below ``base``."""
    if isinstance(values, dict):
        return {key: with_files(value, base) for key, value in values.items()}
    if isinstance(values, str) and ("/" in values and not values.startswith(("/", "~/Maildir"))):
        path = base / values.removeprefix("file:").replace("~", "home")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        return values.replace("~", "home")
    return values


def test_every_key_is_explained() -> None:
    assert flat(yaml.safe_load(uncommented())) == keys(sheet.Sheet)


def test_every_key_has_a_comment_above_it_or_above_its_group() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        top = re.match(r"^(?:# )?([a-z0-9_]+):", line)
        if top and top[1] in sheet.Sheet.model_fields:
            assert lines[number - 1].startswith("# "), f"{top[1]} has no word of explanation"


def test_it_is_right_as_it_stands_once_its_files_are_there(tmp_path: Path) -> None:
    values = with_files(yaml.safe_load(EXAMPLE.read_text()), tmp_path)
    assert sheet.from_mapping(values, base=tmp_path, source="the example").name == "mail.example.org"


def test_it_is_right_with_every_key_in_force(tmp_path: Path) -> None:
    values = with_files(yaml.safe_load(uncommented()), tmp_path)
    del values["tls"]["renewed_by"]
    sheet.from_mapping(values, base=tmp_path, source="the example")


def test_it_is_right_with_files_that_are_renewed_on_the_server(tmp_path: Path) -> None:
    values = with_files(yaml.safe_load(uncommented()), tmp_path)
    for key in ("certificate", "key", "chain"):
        del values["tls"][key]
    kept = re.search(r"(/etc/letsencrypt\S+) and (\S+)\.", EXAMPLE.read_text())
    assert kept is not None
    values["tls"] |= {"certificate_path": kept[1], "key_path": str(Path(kept[1]).with_name(kept[2]))}
    assert sheet.from_mapping(values, base=tmp_path, source="the example").tls.renewed_by == "certbot"


def test_a_commented_key_with_a_default_shows_that_default(tmp_path: Path) -> None:
    shown = yaml.safe_load(uncommented())
    for name in ("probe_from", "time_sync", "protocols", "maildir", "failed_logins"):
        assert shown[name] == sheet.Sheet.model_fields[name].default
    for part, model in (("ssh", sheet.Ssh), ("tls", sheet.Tls), ("firewall", sheet.Firewall)):
        for name, field in model.model_fields.items():
            if not field.is_required() and field.default is not None:
                assert shown[part][name] == field.default, f"{part}.{name}"


def test_it_is_pure_ascii_and_names_no_real_host() -> None:
    text = EXAMPLE.read_text()
    assert text.isascii()
    assert not re.search(r"\b(?!mail\.|bastion\.)[a-z]+\.(com|net)\b", text)
