"""Whose time it is: that of the picture or that of a flare. Reads and writes nothing."""

import re
from collections.abc import Sequence

from jwvl_lib.claim_dates import at_midnight, exists
from jwvl_lib.claim_scope import clause

_PICTURE = re.compile(
    r"\b(?:image|picture|frame|taken|captured|obtained|acquired|shows?|snapshot|observation|caught|recorded\s+by)\b"
    r"|图像|拍到"
    r"|记录|拍摄|取得|此图|该图|这幅|(?:结合|根据|按|由)[^，。；\d]{0,4}时间",
    re.I | re.A,
)
_EVENT = re.compile(
    r"\b(?:peak\w*|maxim\w+|began|begin\w*|start\w*|onset|ended|erupt\w*|flared|fired|produced|released"
    r"|unleashed|occurred|hosted|let\s+loose|came|went\s+off|accompanied|launched|lifted\s+off|ejected)\b|伴随|抛射|峰值|极大|爆发|开始|达到|产生|发生|释放"
    r"|最强",
    re.I | re.A,
)
_COMMA = re.compile(r"[,，;；]")
_NO_FLARE = re.compile(r"\b(?:no|not|without|neither|nor)\b|n't\b|没有|未|无", re.I | re.A)


_FILLER = re.compile(
    r"[\s,，;；(（、/|-]*(?:(?:at|about|around|near|on|of|the|and|in|timed?|UTC?|世界时|时间|时刻|约|于|为|的|是|日"
    r"|当[天日]|星期[一二三四五六日天]"
    r"|周[一二三四五六日])[\s:：,，]*)*",
    re.I | re.A,
)


_OF_NEXT = re.compile(r"\s*(?:UTC?)?\s*(?:的|an?\s+|the\s+)")


def joined(text: str, found: Sequence[tuple]) -> list[tuple]:
    """A day and a clock time in one phrase made one time, "24 October 2014, at a quarter past nine"; 24:00 is 00:00."""
    out = list(found)
    for one, two in zip(found, found[1:], strict=False):
        if one[1] == two[1] == "date_obs" and _FILLER.fullmatch(text, one[0][1], two[0][0]):
            day, clock = sorted((one[2], two[2]), key=lambda value: "T" in value)
            if "T" not in day and clock[0] == "T":
                out = [f for f in out if f not in (one, two)]
                out.append(((one[0][0], two[0][1]), "date_obs", day + clock))
    out = [(span, kind, at_midnight(value) if kind == "date_obs" else value) for span, kind, value in out]
    return sorted(out, key=lambda f: f[0])


def flare_times(text: str, found: Sequence[tuple], start: int, end: int) -> list[tuple]:
    """The finds of a sentence, a time that belongs to a flare moved into its value: "X2.2@T01:56"."""
    flares = [i for i, f in enumerate(found) if f[1] == "flare"]
    if not flares:
        return [f for f in found if not _of_an_unclassed_flare(text, f, start, end)]
    out, gone = list(found), set()
    for i, (span, kind, value) in enumerate(found):
        if kind != "date_obs" or not _of_a_flare(text, span, value, found, start, end):
            continue
        if "T" not in value and not exists(value):  # the day of a flare is no claim, but 30 February is
            continue
        nearest = max((k for k in flares if k < i), default=flares[0])
        ahead = next((k for k in flares if k > i), nearest)
        if _OF_NEXT.fullmatch(text, span[1], out[ahead][0][0]):  # "09:10的X2.2"
            nearest = ahead
        if "@" not in str(out[nearest][2]):
            where, flare_kind, flare = out[nearest]
            out[nearest] = (where, flare_kind, f"{flare}@{value}" if "T" in value else flare)
        gone.add(i)
    return [f for i, f in enumerate(out) if i not in gone]


_AT = re.compile(
    r"(?:[-\s]class)?(?:\s+(?:solar\s+)?flare)?(?:级?(?:耀斑)?)\s*(?:[,(，]\s*(?:于|在|at|@)?|于|在|at|@)\s*", re.I
)  # "X2.2 at 0913 UT May 9"


def _of_a_flare(text: str, span: tuple[int, int], value: str, found: Sequence[tuple], start: int, end: int) -> bool:
    low, high = clause(text, span[0], start, end, _COMMA)
    part = text[low:high]
    named = any(k in ("instrument", "measurement", "wavelength_angstrom") for _, k, _ in found)
    pictured = named or _PICTURE.search(text, start, end) is not None
    happened = _EVENT.search(text, start, end) is not None
    ahead = next((s for s, k, _ in found if k == "flare" and s[0] >= span[1]), None)
    if not pictured and ahead and re.fullmatch(r"\s*的", text[span[1] : ahead[0]]):
        return True
    if not pictured and any(k == "flare" and _AT.fullmatch(text, s[1], span[0]) for s, k, _ in found):
        return True
    if "T" not in value:  # a day: of the flare only where the whole sentence is about what erupted
        return happened and not pictured and not _NO_FLARE.search(text, start, end)
    if _EVENT.search(part):
        return True
    return not (_PICTURE.search(part) or pictured or (not value.startswith("T") and not happened))


def _of_an_unclassed_flare(text: str, find: tuple, start: int, end: int) -> bool:
    """Whether a clock time is that of a flare whose class is not told, which is no claim."""
    span, kind, value = find
    if kind != "date_obs" or "T" not in value or (value[0] != "T" and _PICTURE.search(text, start, end)):
        return False
    if not exists(value):
        return False
    part = text[slice(*clause(text, span[0], start, end, _COMMA))]
    if len(text[start : span[0]]) < 6 and re.match(r"\s*(?:UTC?)?\s*[,，]", text[span[1] : end]):
        part = text[start:end]  # "12:00 UT，东南象限发生暗条爆发"
    flares = (
        re.search(r"\bflare|耀斑|\berupt|喷发|\bCMEs?\b|\bcoronal\s+mass|物质抛射", text[start:end], re.I) is not None
    )
    return flares and not _PICTURE.search(part) and _EVENT.search(part) is not None
