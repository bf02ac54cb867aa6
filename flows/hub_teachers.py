"""Teachers that come from the Hugging Face hub: pulled once, recorded then, checked from then on.

What the first pull brought is what the name stands for: its commit and every file's sha256 are
written beside the folder, and the folder appears whole, after them. A pull that was cut off goes on
where it stopped. Where a folder was removed and its record was left, the same commit is pulled
again, and must bring the same bytes. A folder that is here needs no network.
"""

import fcntl
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from flows.errors import FlowsError, TransientError
from flows.sums import changed_file, read_sums, sums_of, write_sums

# What a model and its tokenizer are read from: no pickle, no code.
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_SIGNS = 96
_RETRY_AFTER_S = (1.0, 4.0)
_BUSY, _SERVER_ERROR = 429, 500


@dataclass(frozen=True, slots=True)
class HubTeacher:
    """A model of the hub that has a name here, and the teacher from a package index to name where
    the hub cannot be reached.
    """

    name: str
    hub_id: str
    licence: str
    description: str


HUB_TEACHERS = {
    teacher.name: teacher
    for teacher in (
        HubTeacher(
            name="smollm2-135m-instruct",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            licence="Apache-2.0",
            description="SmolLM2 135M Instruct, bfloat16 weights of the hub, computed in float32",
        ),
    )
}


def is_hub_id(model: str) -> bool:
    """Whether it is owner/name as the hub allows them; nothing else becomes part of a path."""
    is_odd = len(model) > _MOST_SIGNS or "--" in model or ".." in model
    return not is_odd and _HUB_ID.fullmatch(model) is not None


def hub_folder(hub_id: str, cache: Path) -> Path:
    """Where the teacher is, or will be; its record has the same name and .SHA256SUMS behind it."""
    return cache / "teachers" / hub_id.replace("/", "--")


def pull_hub(hub_id: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The teacher's folder, pulled if it is not there, checked against its record in any case.

    Raises TransientError if the hub does not answer, FlowsError if it has no such model, serves
    other bytes than at first, or a file here has changed since.
    """
    folder = hub_folder(hub_id, cache)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two pulls at once would share what is half pulled
            if not folder.is_dir():
                _pull(hub_id, folder, say)
    _, sums = read_sums(_record(folder))
    changed = changed_file(folder, sums) if sums else "its record, " + _record(folder).name
    if changed:
        raise FlowsError(
            f"teacher {hub_id}: expected {folder} as it was pulled, found {changed} changed or "
            "missing; remove the folder and pull again"
        )
    return folder


def _record(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.SHA256SUMS")


def _pull(hub_id: str, folder: Path, say: Callable[[str], None]) -> None:
    heading, recorded = read_sums(_record(folder))
    commit = heading.rpartition(" ")[2] or None
    staging = folder.with_name(f".pulling-{folder.name}")
    say(f"pulling {hub_id} from the hub")
    listing = _patiently(lambda: _download(hub_id, commit, staging), say)
    sums = sums_of(staging)
    # The hub itself says what its large files are; of the small ones it has no sha256.
    expected = recorded or {name: sha256 for name, sha256 in listing.sums.items() if sha256}
    changed = changed_file(staging, expected) or min(sums.keys() - (recorded or sums), default="")
    if changed:
        shutil.rmtree(staging)
        raise FlowsError(
            f"teacher {hub_id}: expected {changed} of commit {listing.commit} with sha256 "
            f"{expected.get(changed)}{f', as in {_record(folder)}' if recorded else ''}; the hub "
            f"served {sums.get(changed)}; nothing was kept: pull again, or find out who changed it"
        )
    if not recorded:
        write_sums(_record(folder), sums, heading=f"{hub_id}, commit {listing.commit}")
    staging.rename(folder)


def _patiently(download: Callable[[], "_Listing"], say: Callable[[str], None]) -> "_Listing":
    for wait_s in _RETRY_AFTER_S:
        try:
            return download()
        except TransientError:
            say(f"no answer from the hub: trying again in {wait_s:.0f} s")
            time.sleep(wait_s)
    return download()


@dataclass(frozen=True, slots=True)
class _Listing:
    """What the hub says of a model: the commit, and each wanted file's sha256 where it knows it."""

    commit: str
    sums: Mapping[str, str | None]


def _download(hub_id: str, commit: str | None, staging: Path) -> _Listing:
    """Have the model's files of that commit (None: of the newest), and nothing else, in the staging
    folder.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    # Whatever goes wrong on the way: HTTP, TLS, a portal's page instead of JSON.
    try:
        listing = _listed(hub_id, commit)
        snapshot_download(
            hub_id, revision=listing.commit, local_dir=staging, allow_patterns=list(listing.sums)
        )
    except FlowsError:
        raise
    except Exception as exc:
        raise _explained(hub_id, exc) from exc
    shutil.rmtree(staging / ".cache", ignore_errors=True)  # how far each download had come
    for stale in staging.iterdir():
        if stale.name not in listing.sums:
            stale.unlink()
    return listing


def _listed(hub_id: str, commit: str | None) -> _Listing:
    from huggingface_hub import HfApi

    info = HfApi().model_info(hub_id, revision=commit, files_metadata=True)
    siblings = info.siblings or []
    sums = {
        file.rfilename: file.lfs.sha256 if file.lfs else None
        for file in siblings
        if "/" not in file.rfilename and any(fnmatch(file.rfilename, p) for p in MODEL_FILES)
    }
    if not any(name.endswith(".safetensors") for name in sums):
        found = ", ".join(sorted(file.rfilename for file in siblings)) or "no file"
        raise FlowsError(
            f"teacher {hub_id}: expected *.safetensors on the hub, found {found}; only safetensors "
            "are loaded, as other weights can run code: choose a model that has them"
        )
    return _Listing(str(info.sha), sums)


def _explained(hub_id: str, error: Exception) -> Exception:
    """One line for what the hub or the way to it answered; what this machine refuses stays as it
    is.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    causes = [error]
    while isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)
    packaged = "use smollm2-135m-instruct-q4, which comes from a package index"
    expected = f"teacher {hub_id}: expected to pull it from the hub, found"
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return FlowsError(f"{expected} HF_HUB_OFFLINE set; unset it, or {packaged}")
    if isinstance(error, OSError) and error.errno is not None:
        return error
    status = next((c.response.status_code for c in causes if isinstance(c, HfHubHTTPError)), None)
    if status is not None and status < _SERVER_ERROR and status != _BUSY:
        return FlowsError(
            f"{expected} that it has none there for you (HTTP {status}); check the id, or set "
            "HF_TOKEN if it is not public"
        )
    what = f"HTTP {status}" if status else f"no answer ({type(error).__name__})"
    # HfHubHTTPError's base is that of every error of the HTTP library, whichever it is.
    network = (HfHubHTTPError.__bases__[0], OSError)
    is_network = any(isinstance(cause, network) for cause in causes)
    if not is_network:
        what = f"what huggingface_hub cannot read ({type(error).__name__}: {error})"
    kind = TransientError if is_network else FlowsError
    return kind(f"{expected} {what}; check the network, or {packaged}")
