"""Cases by section of the RFCs in the tables of this folder: `python -m tests.unit.caching.sections`.

A case names its section at the front of its id, or of its test's name: `s4.2.3-...`, `rfc5861-s4-...`,
`test_s3_5_...`. Without an RFC it is the file's, or RFC 9110 where RFC 9111 has no such section.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
OF_FILE = {
    "test_cache_status.py": "9211",
    "test_negotiation.py": "9110",
    "test_preconditions.py": "9110",
    "test_ranges.py": "9110",
    "test_targeted.py": "9213",
    "test_uris.py": "3986",
}
_SECTION = re.compile(r"(?:^|[-_\[])(?:rfc(?P<rfc>\d{4})[-_])?s(?P<section>\d+(?:[._]\d+)*)(?=[-_\]]|$)")


def section_of(node: str) -> tuple[str, str] | None:
    """The RFC and the section that a test's node id names, or None."""
    path, _, rest = node.partition("::")
    name, _, case = rest.partition("[")
    found = _SECTION.search(case.removesuffix("]")) or _SECTION.search(name.removeprefix("test_"))
    if found is None:
        return None
    section = found["section"].replace("_", ".")
    return found["rfc"] or _rfc_of(Path(path).name, section), section


def _rfc_of(file: str, section: str) -> str:
    if section.startswith(("1.2.2", "3.2", "4.1", "4.2")):
        return "9111"  # delta-seconds, updates, variants, freshness: of RFC 9111 wherever they are named
    of_file = OF_FILE.get(file, "9111")
    # RFC 9111 has eight sections; §5.6 and §6.6 are of RFC 9110, on lists and Date.
    foreign = int(section.partition(".")[0]) >= 8 or section.startswith(("5.6", "6.6"))
    return "9110" if foreign and of_file == "9111" else of_file


def count(nodes: list[str]) -> Counter[tuple[str, str]]:
    return Counter(found for node in nodes if (found := section_of(node)) is not None)


def collected() -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "::" in line]


def main() -> None:
    nodes = collected()
    sections = count(nodes)
    for (rfc, section), cases in sorted(
        sections.items(), key=lambda item: (item[0][0], [int(part) for part in item[0][1].split(".")])
    ):
        print(f"RFC {rfc} §{section:<10} {cases:4}")
    print(
        f"cases with a section  {sections.total():4}\nothers                {len(nodes) - sections.total():4}"
    )


if __name__ == "__main__":
    main()
