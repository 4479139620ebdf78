"""`tidegate keys create|show`."""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from schemas.signatures import BadKey, PrivateKey, PublicKey
from streams.errors import TidegateError, UsageError
from streams.narration import as_json
from streams.operate.identity import read_key
from streams.options import Output, OutputForm

FOR_ITS_OWNER: Final = 0o600
FOR_ALL: Final = 0o644
NAME: Final = re.compile(r"\w[\w.@-]*")
PRIVATE: Final = "-----BEGIN"

keys_app = typer.Typer(help="The keys that sign commands and orders.", no_args_is_help=True)


class KeyNotWritten(TidegateError):
    """A file is there already, or cannot be made."""


@keys_app.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Whose: a person's name, or tidegate for the worker.")
    ] = "tidegate",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to put the files.")] = Path(),
    output: OutputForm = Output.TABLE,
) -> None:
    """A new Ed25519 key: NAME.key, for its owner alone, and NAME.pub. Never overwrites.

    The worker's signs commands ([bold]signing.key_file[/bold]), a person's signs approvals and
    the like ([bold]--key[/bold]). The public half goes into the configuration.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"keys create: expected a name of letters, digits and . _ @ -, got {name!r}")
    key = PrivateKey.generate()
    private, public = out / f"{name}.key", out / f"{name}.pub"
    if public.exists():
        raise KeyNotWritten(f"{public} is there already, and is left as it is")
    _write(private, key.pem().reveal(), FOR_ITS_OWNER)
    _write(public, f"{key.public}\n", FOR_ALL)
    if output is Output.JSON:
        told = {"name": name, "key_file": str(private), "public_key_file": str(public)}
        print(as_json({**told, "id": key.public.id, "public_key": str(key.public)}))
        return
    print(f"{private}  the private key: for its owner alone\n{public}  the public key, id {key.public.id}\n")
    print("Of a worker, in the configuration of the worker and of every executor:")
    print(f'  signing: {{key_file: {private}, trusted: ["{key.public}"]}}   # key_file: the worker alone')
    print("Of a person:")
    print(f'  operators: {{{name}: {{public_key: "{key.public}"}}}}')


@keys_app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A private or a public key.")],
    output: OutputForm = Output.TABLE,
) -> None:
    """The public key in a file, and its id, which signatures name. Of a private key nothing else is shown."""
    public = _public(file)
    if output is Output.JSON:
        print(as_json({"id": public.id, "public_key": str(public)}))
    else:
        print(f"{public}\nid {public.id}")


def _public(file: Path) -> PublicKey:
    try:
        text = file.read_text(encoding="utf-8").strip()
        return read_key(file).public if text.startswith(PRIVATE) else PublicKey.parse(text)
    except BadKey as error:
        raise UsageError(f"{file}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: expected a key, got bytes") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot read the key: {error.strerror}") from None


def _write(file: Path, text: str, mode: int) -> None:
    """A new file; it never had another mode."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as opened:
            opened.write(text)
    except FileExistsError:
        raise KeyNotWritten(f"{file} is there already, and is left as it is") from None
    except OSError as error:
        raise KeyNotWritten(f"{file}: cannot be written: {error.strerror}") from None
