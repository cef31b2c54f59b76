"""The glossary of a report's page: what its classes, scales, marks and units mean, and which of them the day has.

Reads the dict of `report.json` and the knowledge base; writes nothing. Every entry keeps its key, by which
`report_numbers` finds its digits again, and its sources.
"""

from collections.abc import Iterable

from jwvl_lib import knowledge

# English and Chinese heading, sections of the knowledge base
GROUPS = (
    ("McIntosh class, letter by letter", "McIntosh分类，逐字母", knowledge.PLACES),
    ("Magnetic class and marks", "磁分类与标记", ("hale_class", "flag")),
    ("Flares and level of activity", "耀斑与活动水平", ("goes_class", "activity_level")),
    ("NOAA scales", "NOAA等级", ("R", "S", "G")),
    ("Indices and units", "指数与单位", ("index", "unit")),
)
CODED = (*knowledge.PLACES, "goes_class", "R", "S", "G")  # sections whose values are what a reader sees


def groups(report: dict) -> tuple[list[dict], list[dict]]:
    """(groups, sources): groups of `{title: (en, zh), sections: [{name, title, rows}]}`, sources in order of use.

    A row is `{entry, code, here, notes}`: the letter or symbol to show, whether the report has it, and the numbers of
    its sources in the list, from 1.
    """
    here, sources = set(used(report)), {}
    made = [
        {
            "title": (en, zh),
            "sections": [{"name": s, "title": _both(s), "rows": _rows(s, here, sources)} for s in sections],
        }
        for en, zh, sections in GROUPS
    ]
    return made, list(sources.values())


def _both(section: str) -> tuple[str, str]:
    return knowledge.title(section, "en"), knowledge.title(section, "zh")


def _rows(section: str, here: set[str], sources: dict[str, dict]) -> list[dict]:
    rows = []
    for e in knowledge.section(section).values():
        for source in knowledge.cited(e):
            sources.setdefault(source["id"], {**source, "number": len(sources) + 1})
        code = e.rules.get("symbol", e.value if section in CODED else "")
        notes = [sources[name]["number"] for name in e.sources]
        rows.append({"entry": e, "code": code, "here": e.key in here, "notes": notes})
    return rows


def used(report: dict) -> Iterable[str]:
    """Keys of the entries that a report holds: letters of its classes, its flares, scales, marks and indices."""
    for region in report["regions"]:
        yield from (e.key for e in knowledge.read_mcintosh(region["mcintosh_class"]))
        yield f"hale_class.{region['hale_class']}"
        yield from (f"flag.{flag}" for flag in region["flags"])
    yield from (f"goes_class.{flare['goes_class'][0]}" for flare in report["flares"])
    yield from (f"{name}.{scale['value']}" for name, scale in report["impacts"].items())
    yield from (f"index.{index['name']}" for index in report["indices"])
    yield f"activity_level.{report['activity_level']['value']}"


def reading(region: dict) -> list[tuple[str, knowledge.Entry]]:
    """What a region's classes mean: (letter or symbol, entry), McIntosh first; nothing for what is no class."""
    letters = knowledge.read_mcintosh(region["mcintosh_class"])
    hale = knowledge.section("hale_class").get(region["hale_class"] or "")
    return [(e.value, e) for e in letters] + ([(str(hale.rules["symbol"]), hale)] if hale else [])


def reading_text(region: dict, kind: str, language: str) -> str:
    """The same in one line, for a tip: `F: bipolar group, …; k: …; c: …`, of `mcintosh_class` or `hale_class`."""
    said = [(code, e) for code, e in reading(region) if (e.section == "hale_class") == (kind == "hale_class")]
    colon, stop = ("：", "；") if language == "zh" else (": ", "; ")
    return stop.join(f"{code}{colon}{e.says[language] or e.names[language]}" for code, e in said)


def anchor(key: str) -> str:
    """The id of an entry on the page."""
    return "g-" + key.replace(".", "-").replace(" ", "-")
