"""Numbers that claim nothing: what something was, by how much it changed, how many times as large. Does no I/O.

The patterns only close their stretch to the later ones: "grew from 62 to 67 spots" leaves the 67.
"""

import re

from jwvl_lib.claim_grammar import EN_NUMBER, ZH_NUMBER, Found, Pattern, pattern

_UNIT = r"(?:\s*(?:MSH\b|millionths?\b|(?:sun)?spots?\b|regions?\b|groups?\b))?"
_ZH_UNIT = r"(?:\s*(?:MSH|个单位|个|颗|粒|群|处|单位|(?:太阳|日面|可见)*半球|百万分之一|的|黑子|活动区)*)"
_ZH_RISE = r"(?:增|扩|减|缩|降|升|涨|变|发展|演|长|跌|骤|猛|衰)"
_EN_RISE = (
    r"\b(?:gr[eo]w\w*|increas\w*|rose|ris\w+|fell|fall\w*|dropp?\w*|decay\w*|declin\w*|shr[aiu]nk\w*|expand\w*|went"
    r"|gone"
    r"|down|up|chang\w*|evolv\w*|develop\w*|swell\w*|swollen|doubled|climb\w*|jump\w*|diminish\w*)\b"
)


def _if_changed(match: re.Match) -> Found | None:
    """ "from 20 to 15 spots" is a change where something is said to fall or rise, else a range."""
    before = match.string[max(0, match.start() - 80) : match.start()]
    return [] if re.search(_EN_RISE, before, re.I) else None


def _if_no_hemisphere(match: re.Match) -> Found | None:
    """ "万分之六" is an area where a hemisphere is meant."""
    return None if "半球" in match.string[max(0, match.start() - 12) : match.end() + 6] else []


CHANGES: list[Pattern] = [
    pattern("zh", rf"[从由自](?:[^，。；\d]{{0,8}}?的)?\s*(?:约|大约|不到|近)?{ZH_NUMBER}{_ZH_UNIT}"
            rf"(?=[^，。；\d]{{0,4}}{_ZH_RISE}[^，。；\d]{{0,4}}[到至为成])", []),
    pattern("zh", rf"(?:增|减|扩|缩|多|少|大|小|升|降|涨|跌|新增|消失)[加少大小长多降升]?[出掉]?了(?:约|近|大约"
        rf"|将近|整整|至少|超过"
            rf"|不到)?\s*{ZH_NUMBER}{_ZH_UNIT}", []),
    pattern("zh", rf"[比较][^，。；]{{1,14}}?[增减多少大小高低][加少]?[出了]?(?:约"
        rf"|近)?\s*{ZH_NUMBER}{_ZH_UNIT}(?!倍)", [], over=True),
    pattern("zh", rf"(?:相?差|多出|少掉|超出)(?:约|了|近)*{ZH_NUMBER}{_ZH_UNIT}", []),
    pattern("zh", rf"{ZH_NUMBER}\s*[多余几]?倍|{ZH_NUMBER}\s*[对比]\s*{ZH_NUMBER}", []),
    pattern("zh", r"(?<!百万)(?<!百)(?!百万分之)[一二两三四五六七八九十百千万\d]+分之[一二三四五六七八九\d"
            r"]", _if_no_hemisphere),
    pattern("en", rf"\bfrom\s+(?:about\s+|some\s+)?{EN_NUMBER}{_UNIT}(?=\s+(?:up\s+|down\s+)?to\b)", _if_changed),
    pattern("en", rf"{_EN_RISE}[^.;,]{{0,24}}?\bby\s+(?:about\s+|some\s+|almost\s+)?{EN_NUMBER}{_UNIT}", []),
    pattern("en", rf"{EN_NUMBER}\s+(?:millionths\s+|MSH\s+)?(?:more|fewer|less|larger|smaller|bigger)"
            rf"(?:\s+(?:MSH|millionths|(?:sun)?spots?))?(?=\s+than\b)", []),
    pattern("en", rf"\b(?:lost|gained|added|shed)\s+(?:some\s+|about\s+)?{EN_NUMBER}{_UNIT}", []),
    pattern("en", rf"{EN_NUMBER}\s+times\b", []),
]  # fmt: skip


def unclaimed(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The stretches of a sentence whose numbers claim nothing."""
    found = (match for p in CHANGES for match in p.regex.finditer(text, start, end) if p.values(match) == [])
    return [match.span() for match in found]
