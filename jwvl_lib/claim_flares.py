"""Claims of flares: a class, a letter, none at all. Reads and writes nothing."""

import re

from jwvl_lib import knowledge
from jwvl_lib.claim_grammar import Found, Pattern, pattern

_LETTERS = knowledge.goes_letters()
_GOES = rf"(?<![A-Za-z\d])(?-i:([{_LETTERS}]))"
_CLASS = r"(?:[-\s]*(?:class(?:es)?|level|type)\b|\s*[级类])"
_EVENT = (
    r"(?:(?:solar|X-ray|long-duration|impulsive|strong|major|big|small|minor|weak)\s+)*(?:flares?|flaring|events?"
    r"|bursts?|eruptions?|outbursts?|activity)\b"
)
_ZH_EVENT = r"(?:特?大|小|中等|强|太阳|X射线|软X射线)*(?:耀斑|爆发|事件)"
_ABOUT_FLARES = re.compile(r"flar|erupt|outburst|event|耀斑|爆", re.I)
# a letter before "and", "/" or a comma, whose "-class" comes with a later letter: "neither M- nor X-class"
_SHARED = (
    rf"(?=-?\s*(?:,|/|、|and/or|and|or|nor|to|及|和|与|或|至|到)\s*(?:(?:one|two|three|four|five|six"
    rf"|\d)\s+)?(?:[{_LETTERS}]-?\s*(?:,|/|、|and|or|和|或)\s*)?"
    rf"[{_LETTERS}]"
)


def _flare(match: re.Match) -> Found:
    return [("flare", "".join(g for g in match.groups() if g))]


def _letter(match: re.Match) -> Found | None:
    """The letter of a flare whose class is not already told in full: "an X2.2, the first X-class event"."""
    told = re.search(rf"(?<![A-Za-z])(?-i:{match[1]})\d+\.\d", match.string)
    counted = re.search(
        r"(?:\b(?:two|three|four|five|six|several|many|\d+)\s+|[\d一二两三四五六几多]+[个次])$",
        match.string[: match.start()],
        re.I,
    )
    return [] if told and not counted and not _DENIED.search(match.string[: match.start()]) else _flare(match)


_DENIED = re.compile(r"(?:没有|未|无|\bno|\bnot|n't)[^，。,.;]{0,12}$", re.I)


def _letter_if_flares(match: re.Match) -> Found | None:
    return _letter(match) if _ABOUT_FLARES.search(match.string) else None


def _if_flares(match: re.Match) -> Found | None:
    """A class that does not say of what, in a text that speaks of flares."""
    return _flare(match) if _ABOUT_FLARES.search(match.string) else None


FLARES: list[Pattern] = [
    # what M-class flares are in general, and one of another year
    pattern("en",
            rf"{_GOES}[\d.]*(?:[-\s]class)?(?:\s+(?:flare|event))?\s+(?:of|in|from)\s+(?:[A-Z][a-z]+\.?\s+)?"
            rf"(?:19|20)\d\d\b", []),
    # a bound that nothing passed
    pattern("zh", rf"(?:超过|高于|强于|大于|接近|逼近|将近){_GOES}\d*(?:\.\d)?级|{_GOES}级以下", []),
    pattern("en", rf"\b(?:below|under|above|exceeding|beyond|almost|nearly|close\s+to|approach\w*|(?:larger|greater"
            rf"|stronger|higher)\s+than)"
            rf"\s+(?:an?\s+|the\s+)?{_GOES}\d?(?:\.\d)?(?:{_CLASS}|\b)(?!\s*\.\d)", []),
    pattern("zh", rf"比{_GOES}[\d.]*级?更|(?:本底|背景)[^，。；A-Z]{{0,8}}{_GOES}\d?(?:\.\d)?级?", []),
    pattern("en", rf"\bbackground\b[^.;]{{0,40}}?{_GOES}-?\d?(?:\.\d)?(?:[-\s]?(?:class|level))?(?![A-Za-z\d])", []),
    pattern("zh", rf"{_GOES}级(?:太阳)?耀斑(?:最强|最大|(?:是|指|为)(?:最|指|比|一[类种]|能量|所有|强))", []),
    pattern("zh", rf"(?:19|20)\d\d年(?:\d{{1,2}}月)?(?:的|那次的?){_GOES}[\d.]*级?", []),
    pattern("en",
            rf"{_GOES}[-\s]class\s+flares?\s+(?:are|is|have|release|last|can|may|cause|occur)s?\b(?!\s+(?:been|not"
            rf"|n't|seen"
            rf"|recorded|observed|absent|reported|present|on|in|missing|nowhere))|\bthan\s+(?:an?\s+)?{_GOES}[-\s]class"
            r"\s+flares?", []),
    pattern("zh", rf"{_GOES}级(?:耀斑)?的(?:峰值|流量|能量|强度|\S{{0,6}}倍)", []),
    pattern("", rf"(?:(?-i:[{_LETTERS}])(?:\s*[,、/]\s*|\s*,?\s*(?:and|or|和|与)\s*)){{3,}}(?-i:[{_LETTERS}])", []),
    pattern("", rf"{_GOES}\s?-?(\d{{1,2}}\.\d)(?!\d|\.\d)", _flare),
    pattern("", rf"{_GOES}(\d{{1,2}})(?![\d.])(?={_CLASS}?(?:的|的太阳|[-\s]*){_EVENT}|级?的?{_ZH_EVENT}|级)", _flare),
    pattern("", r"(?<![A-Za-z\d])(?-i:([CMX]))(\d{1,2})(?![\d.A-Za-z]\w|\.\d|:)(?!\d)", _if_flares),
    pattern("", rf"{_GOES}{_CLASS}(?:及?以上|或更[强大高]|及?以下)?(?:的)?\s*(?:{_EVENT}|{_ZH_EVENT})", _letter),
    pattern("en", rf"(?<=of\s){_GOES}\s(?:class|level)\b", _letter_if_flares),
    pattern("", rf"{_GOES}(?:-\s?(?:class|level)\b|\s*[级类])", _letter_if_flares),
    pattern("zh", r"(?<![A-Za-z\d])(?-i:([XM]))级(?!黑子|活动区)", _letter),
    pattern("", rf"{_GOES}{_SHARED}(?:{_CLASS}|\s+flares?\b))", _if_flares),
    pattern("en", rf"\b(?:class|level)\s+{_GOES}(?![\w.])", _if_flares),
    pattern("en", rf"{_GOES}(?<!A(?=\s))[-\s]flares?\b", _letter),
    # no flare at all, of whatever class
    pattern("en",
            r"\b(?:no|without(?:\s+any)?|zero)\s+(?:(?:significant|major|notable|strong|solar|X-ray)\s+)*"
            r"(?:flares?|flaring)\b(?!\s+(?:stations?|kernel|ribbon|above|stronger|greater|larger|of|from|in\s+"
            r"(?:AR|region)))",
            [("flares_seen", "no")]),
    pattern("zh",
            r"(?:没有|无|未见|未曾?发生|未出现|未爆发|没发生|没有发生|没有出现|未记录到|未观测到|未探测到)"
            r"(?:任何|显著|明显|强|大)*的?(?:太阳|X射线)*耀斑",
            [("flares_seen", "no")]),
]  # fmt: skip
