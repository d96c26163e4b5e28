"""Inserts the policies' JSON into the CloudFormation template: `python -m deploy.iam.render [--check]`.

Each document follows a comment with its file name, as JSON text for Fn::Sub: the template's parameters have the
names of the placeholders. (The condition keys of IRSA contain the issuer's name, and an object's key can't be a !Sub.)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "cloudformation" / "humangov-operator.yaml"
PSEUDO_PARAMETERS = {"Partition": "AWS::Partition", "Account": "AWS::AccountId"}

# `# name.json`, the property, and all lines that are indented deeper than the property.
_SLOT = re.compile(
    r"^(?P<indent> *)# (?P<file>[\w-]+\.json)\n(?P=indent)(?P<property>\w+): !Sub.*\n(?:(?P=indent) .*\n)*",
    re.MULTILINE,
)


def rendered(template: str) -> str:
    """The template with the current documents."""
    return _SLOT.sub(_filled, template)


def _filled(slot: re.Match[str]) -> str:
    indent = slot["indent"]
    text = (FOLDER / slot["file"]).read_text()
    for placeholder, parameter in PSEUDO_PARAMETERS.items():
        text = text.replace(f"${{{placeholder}}}", f"${{{parameter}}}")
    body = "".join(f"{indent}  {line}\n" for line in text.splitlines())
    return f"{indent}# {slot['file']}\n{indent}{slot['property']}: !Sub |\n{body}"


def main() -> None:
    before = TEMPLATE.read_text()
    after = rendered(before)
    if "--check" not in sys.argv[1:]:
        TEMPLATE.write_text(after)
    elif after != before:
        sys.exit(f"{TEMPLATE.name} is stale: `python -m deploy.iam.render` updates it.")


if __name__ == "__main__":
    main()
