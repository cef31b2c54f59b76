"""What a sentence leaves out the second time: "AR 11339 has 28 spots, 11342 only five". Reads and writes nothing."""

import re
from collections.abc import Sequence

from jwvl_lib.claim_changes import unclaimed
from jwvl_lib.claim_grammar import EN_NUMBER, UPPER, ZH_NUMBER, counted, number

_COUNTED = ("area_msh", "n_spots")
# a number without a noun of its own: before a stop, or before words that lead on to the next region
_BARE = re.compile(
    rf"(?P<n>{EN_NUMBER}|{ZH_NUMBER})(?:\s*(?:-|到|至|to|or)\s*(?P<m>{UPPER}))?(?P<over>[多余])?"
    r"(?P<unit>\s*(?:of\s+(?:them|these|those)\b|个单位|[个颗粒]|单位|MSH\b|millionths\b)?)"
    r"(?=\s*(?:[,;:)，。；、）!！]|\.(?!\d)|$|(?:and|but|while|whereas|in|for|versus|vs|against|as|compared|on|at|to"
    r"|with"
    r"|of)\b|in\b"
    r"|而|左右|以上|之间))",
    re.I | re.A,
)
_SIGN = re.compile(
    r"(?<![A-Za-z])(?:positive|negative)\b|[正负](?=极|的|磁|[，。；、）]|$)|(?<=[恰则正])好?相反"
    r"|\bthe\s+(?:opposite"
    r"|reverse)\b(?=\s*[.,;]|$)",
    re.I | re.A,
)
_REVERSED = ("相反", "好相反", "the opposite", "the reverse")
_CUT = re.compile(r"[,，;；、。]|\b(?:and|but|while|whereas|versus|vs|against|with)\b|[而但和与]", re.I | re.A)
_INSTEAD = re.compile(r"(?:不是|而非|并非|\bnot)\s*$", re.I | re.A)  # "1190, not 195"
_TRAILING = re.compile(r"\b(?:follow|trail)\w*|后随|尾随|跟随", re.I | re.A)
_NOUN_LAST = re.compile(r"(?<!\d)\d{4,5}(?:\s+has|有)?\s*$")  # "12192 has 64, 12195 10, and 12196 3 spots"
_OTHER_OF_TWO = re.compile(r"前者|后者|\b(?:former|latter)\b", re.I | re.A)
_WAVE_LIKE = re.compile(r"(?:channel|wavelength|class|version|cycle|page|figure|fig|第)\s*$", re.I | re.A)


def completed(text: str, found: Sequence[tuple], start: int, end: int) -> list[tuple]:
    """The finds of the sentence from `start` to `end` and what it says by a bare number or sign of another region.

    `found` are the finds of the whole text. The kind is that of the nearest count, area or polarity said before; where
    it was said of the region already, the number is something else.
    """
    out = [f for f in found if start <= f[0][0] < end]
    out += _corrected(text, out, start, end)
    out += _respectively(text, out, start, end)
    for regex, kinds in ((_BARE, _COUNTED), (_SIGN, ("leading_polarity",))):
        said = [f for f in found if f[1] in kinds and f[0][0] < end]
        said = sorted(said + _nouns(text, out, start, end, kinds), key=lambda f: f[0])
        matches = list(regex.finditer(text, start, end)) if said else []
        idle = unclaimed(text, start, end) if matches and regex is _BARE else []
        for match in matches:
            if any(low <= match.start() < high for low, high in idle):
                continue
            claim = _carried(text, match, out, said, start, end)
            out += [claim] if claim else []
    return sorted(out + _shares(text, out, start, end), key=lambda f: f[0])


_SHARE = re.compile(r"(?<![\d.])(?P<f>\d*\.?\d+)\s*(?:%|per\s?cent\b)|(?P<per>十?[千万])分之(?P<of>\d*\.?\d+)")
_MILLIONTHS_OF = {"": 1e4, "千": 1e3, "万": 1e2, "十万": 10}


def _shares(text: str, found: list[tuple], start: int, end: int) -> list[tuple]:
    """ "13182占半球万分之3.5，13180占万分之1.3": a share of the hemisphere, which was named for another region."""
    areas = [f for f in found if f[1] == "area_msh" and re.search("%|分之|cent", text[slice(*f[0])])]
    out = []
    for match in _SHARE.finditer(text, start, end) if areas else ():
        free = not any(match.start() < b and a < match.end() for (a, b), _, _ in found)
        if free and areas[0][0][0] < match.start() and _new_region(text, found, *match.span(), areas[0], start, end):
            share = float(match["f"] or match["of"])
            out.append((match.span(), "area_msh", round(share * _MILLIONTHS_OF[match["per"] or ""])))
    return out


def _carried(text: str, match: re.Match, found: list[tuple], said: list[tuple], start: int, end: int) -> tuple | None:
    low, high = match.span()
    if any(low < b and a < high for (a, b), _, _ in found) or _WAVE_LIKE.search(text[start:low]):
        return None
    if match.re is _BARE and re.search(r"(?:^|[\n;；])\s*\($", text[:low]) and text[high : high + 1] == ")":
        return None  # the number of an item
    before = [f for f in said if f[0][0] < low]
    if not before and match.re is _BARE and match["unit"] in ("个", "颗") and said[0][1] == "n_spots":
        before = [((start, start), *said[0][1:])]
    if not before and match.re is _BARE and _NOUN_LAST.search(text[start:low]):
        before = [((start, start), *said[0][1:])]  # "10484有55个，10488有53个黑子": the noun comes last
    if before and match.re is _BARE and _INSTEAD.search(text[start:low]) and before[-1][0][0] >= start:
        return match.span(), before[-1][1], counted(match)
    if not before or not _new_region(text, found, low, high, before[-1], start, end):
        return None
    kind, value = before[-1][1:]
    if value is None and (_SOMETHING_ELSE.search(text[start:low]) or not _SAYS.search(text[start:low])):
        return None
    if kind == "leading_polarity":
        trailing = match.group() not in _REVERSED and _TRAILING.search(text[before[-1][0][1] : low])
        return None if trailing else (match.span(), kind, _sign(match.group(), value))
    unit = match["unit"].strip().lower()
    if number(match["n"]) > 9999 or (unit in ("个", "颗", "粒") and kind == "area_msh"):
        return None
    return match.span(), kind, counted(match)


def _new_region(text: str, found: list[tuple], low: int, high: int, last: tuple, start: int, end: int) -> bool:
    """Whether the clause of a match names a region, or one was named since the last claim of the kind."""
    cuts = [start, *(m.start() for m in _CUT.finditer(text, start, end)), end]
    left, right = max(c for c in cuts if c <= low), min(c for c in cuts if c >= high)
    if last[2] is None and not any(f[1] == last[1] and f[0][0] >= last[0][0] for f in found):
        return True  # the noun alone was said: "the spot count of AR 12192 rose to 67"
    inside = [f for f in found if left <= f[0][0] < right]
    if any(f[1] == last[1] for f in inside):
        return False
    named = [f for f in found if f[1] == "noaa_ar"]
    other = _OTHER_OF_TWO.search(text, left, low) is not None
    return other or any(left <= f[0][0] < right for f in named) or any(last[0][1] <= f[0][0] < low for f in named)


# nouns that a number may follow at a distance: "黑子数方面，11967有92个", "the area of 12195 is a mere 100"
_NOUNS = {
    "area_msh": r"(?<!总)面积(?!第|最|上)|(?<!total )(?<!combined )\bareas?\b",
    "n_spots": r"(?<!最大)(?<!国际)(?<!国际太阳)(?<!平滑)黑子数?(?![群区相])|\bspots?\b(?!\s*(?:groups?|regions?))"
    r"|\bspot\s+counts?\b",
    "leading_polarity": r"(?:前导|先导|领头)(?:黑子)?(?:的?极性)?(?=\s*[:，])|\blead\w*\s+polarit(?:y|ies)\s*(?=:)",
}
_NOUNS = {kind: re.compile(words, re.I) for kind, words in _NOUNS.items()}
# the words between the noun and its number
_SAYS = re.compile(
    r"(?:有|为|是|在|达到?|仅|只|才|也|约|却|到|至|含|剩|数出|拥有|\b(?:is|has|have|are|was|counts?|with|just|only"
    r"|mere|of|at|to"
    r"|now|about|around|roughly|nearly|carries|shows|holds|still|former|latter)|前者|后者)\s*$"
    r"|(?<!\d)\d{4,5}[^，。；\da-z]{0,2}\s*$",
    re.I | re.A,
)
_SOMETHING_ELSE = re.compile(
    r"(?:[级第]|耀斑|纬|经|度|时|倍|百分|概率|波长|日期|flare|class|latitude|longitude|degrees|chance"
    r"|percent)[^，,]{0,14}$",
    re.I | re.A,
)


def _nouns(text: str, found: list[tuple], start: int, end: int, kinds: Sequence[str]) -> list[tuple]:
    """The nouns of some kinds that no claim of a sentence has taken, as finds without a value."""
    taken = [f[0] for f in found]
    nouns = [(m.span(), kind) for kind in kinds for m in _NOUNS[kind].finditer(text, start, end)]
    return [(span, kind, None) for span, kind in nouns if not any(a < span[1] and span[0] < b for a, b in taken)]


_PUT_RIGHT = re.compile(r"(?:不是|并非|没有)[^，。；]{1,14}[，,]而?是$|(?:\bnot\b|n't)[^,.;]{1,24},?\s*$", re.I | re.A)
_NOT_BUT = re.compile(
    rf"(?:(?<=[，,]是)|(?<=而是))(?P<n2>{ZH_NUMBER})[个条颗群处块片](?=[，。,.]|$)"
    rf"|\bbut\s+(?:only\s+|just\s+)?(?P<n3>{EN_NUMBER})(?=\s*(?:[.,;]|$))"
    rf"|(?:不是|并非|而非|\bnot)\s*(?P<n>{EN_NUMBER}|{ZH_NUMBER})\s*[个条颗群处]?"
    r"(?=\s*(?:[,，;；。.]|而?是|but\b|$))",
    re.I | re.A,
)


def _corrected(text: str, found: list[tuple], start: int, end: int) -> list[tuple]:
    """ "Not four but three regions", "three filaments, not four": the number that is put right is of the same noun."""
    counts = [f for f in found if f[1].startswith("n_")]
    out = []
    for match in _NOT_BUT.finditer(text, start, end) if counts else ():
        near = min(counts, key=lambda f: min(abs(f[0][0] - match.end()), abs(match.start() - f[0][1])))
        which = next(name for name in ("n", "n2", "n3") if match[name])
        free = not any(match.start(which) < b and a < match.end() for (a, b), _, _ in found)
        denied = which == "n" or _PUT_RIGHT.search(text[start : match.start()])
        if (
            free
            and denied
            and number(match[which]) < (999 if near[1] == "n_spots" else 30)
            and max(near[0][0] - match.end(), match.start() - near[0][1]) < 30
        ):
            out.append((match.span(which), near[1], number(match[which])))
    return out


_IN_ORDER = re.compile(
    rf"(?:分别|各|依次|从[大小多少]到[大小多少]:?)(?:为|是|有|只有|仅有?|约|达"
    rf"|含)*\s*(?P<list>{ZH_NUMBER}[个颗]?(?:\s*[、,，和与]\s*{ZH_NUMBER}[个颗]?)+)"
    rf"|(?P<list2>{EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER})\b(?:\s+(?:of\s+them))?,?\s+respectively"
    rf"|(?:namely|with|of|:)\s+(?P<list3>{EN_NUMBER}\s+(?:versus|against|vs\.?)\s+{EN_NUMBER})(?=\s*(?:[.,;]|$))",
    re.I | re.A,
)


_ORDERED = re.compile(
    r"分别|各|依次|从[大小多少]到|respectively|versus|against|vs", re.I | re.A
)  # nearly no sentence has one


def _respectively(text: str, found: list[tuple], start: int, end: int) -> list[tuple]:
    """ "分别只有11个和3个": the numbers of a list whose noun was said before."""
    out = []
    for match in _IN_ORDER.finditer(text, start, end) if _ORDERED.search(text, start, end) else ():
        part = next(name for name in ("list", "list2", "list3") if match[name])
        low, high = match.span(part)
        said = [f for f in found if f[1] in _COUNTED and f[0][0] < low] + _nouns(text, found, start, low, _COUNTED)
        if said and not any(a < high and low < b for (a, b), _, _ in found):
            kind = max(said, key=lambda f: f[0])[1]
            numbers = re.compile(ZH_NUMBER if part == "list" else EN_NUMBER, re.I | re.A).finditer(text, low, high)
            out += [(m.span(), kind, number(m.group())) for m in numbers]
    return out


def _sign(word: str, before: str) -> str:
    if word in _REVERSED:
        return "negative" if before == "positive" else "positive"
    return "positive" if word[0].lower() in "p正" else "negative"


_AS_WELL = re.compile(
    r"(?:[^,;.]{0,30}?\b(?:positive|negative)(?:\s+polarity)?)?,?\s*(?:just\s+)?(?:as|so|like)\s+(?:it\s+)?(?:in|for"
    r"|are|is|does|do|has|did|its\s+neighbou?r)?\s*(?:in\s+)?"
    r"(?:(?:AR|NOAA|region)s?\s*)*$"
    r"|[^，。；,;]{0,4}[，,]?\s*(?:与|和|跟|同)(?:AR|NOAA|活动区)*$"
)
_ALSO = re.compile(r"[^，。；,;]{0,4}[，,]\s*(?:而|且)?(?:AR|NOAA|活动区)*")  # "，11969也是"
_THE_SAME = re.compile(r"(?:号|区)?(?:的)?(?:相?同|一样|一致|一个样)|\s*(?:too|as\s+well|likewise)\b")


def likewise(text: str, found: Sequence[tuple], span: tuple[int, int], end: int) -> list[int]:
    """The regions of which the same is said after a find: "positive, as in 9393 and 9401", "Dao，与13181同"."""
    after = [f for f in found if f[1] == "noaa_ar" and f[0][0] >= span[1]]
    gap = (text, span[1], after[0][0][0]) if after else None
    if gap is None or not (_AS_WELL.fullmatch(*gap) or _ALSO.fullmatch(*gap)):
        return []
    last, listed = after[0][0][0], []
    for (low, high), _, value in after:
        if low > last and not re.fullmatch(r"[\s,、和与及]*(?:and|AR)?\s*", text[last:low]):
            break
        listed, last = [*listed, value], high
    also = re.match(r"也(?:是(?=[，。；,;]|$)|如此|一样|同样)", text[last:end])
    chinese = text[after[0][0][0] - 1] in "与和跟同区R"
    if _ALSO.fullmatch(text, span[1], after[0][0][0]):
        return listed if also else []
    return listed if not chinese or _THE_SAME.match(text, last, end) else []
