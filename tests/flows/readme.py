"""The README's commands by section, so that the tests run these and no copies of them."""

import re
import shlex

from tests.flows.command import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVER_SECTION = "Deploy and schedule"


def commands_of(section: str) -> list[list[str]]:
    """The commands in that section's `sh` fences, in their order, each as its words."""
    [body] = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.M)
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", body, re.DOTALL | re.M)
    return [words for line in "".join(blocks).splitlines() if (words := shlex.split(line))]


def sections() -> list[str]:
    """The titles of the README's sections, in their order."""
    return re.findall(r"^## (.*)$", README, re.M)
