"""What all claim patterns are made of: plain text, numbers in digits and words, a pattern. Reads and writes nothing.

`plain` keeps every character at its place, so a span in the plain text is the same span in the text as written.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

Value = str | int | float
Found = list[tuple]  # (kind, value), or (kind, value, span) where the claim is only a part of the match


@dataclass(frozen=True)
class Pattern:
    """One way of claiming something.

    `language` is "" for what stands in texts of both languages (names, codes, ISO times). `values` turns a match into
    claims: an empty list closes the stretch to later patterns without claiming anything ("coronal hole" says nothing
    about the layer), None leaves it open to them. A pattern that reaches `over` may have what is taken in its middle:
    "three beta regions" is a count and a class.
    """

    language: str
    regex: re.Pattern
    values: Callable[[re.Match], Found | None]
    over: bool = False


def pattern(
    language: str, regex: str, values: Callable[[re.Match], Found | None] | Found, over: bool = False
) -> Pattern:
    r"""A pattern for plain text; letters fit in either case unless the regex says `(?-i:...)`.

    ASCII: to `\b` and `\w` Chinese is no word, so that codes end where Chinese begins ("656.3 nm处").
    """
    return Pattern(language, re.compile(regex, re.I | re.A), values if callable(values) else lambda match: values, over)


# --------------------------------------------------------------------------------------------------------------------
# text made plain

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，；！？"}
_LIKE = {
    "-": "‐‑‒–−－—〜～﹣", "'": "’‘ʼ＇",
    '"': "“”", " ": "\u00a0\u2009\u202f\u3000\t*`$\\{}", "Å": "\u212b", "μ": "\u00b5",
    "β": "ßϐ", "°": "˚º",
}  # fmt: skip
_PLAIN = _FULL_WIDTH | {ord(c): to for to, like in _LIKE.items() for c in like}


def plain(text: str) -> str:
    """The text with full-width letters and digits, odd dashes, spaces, quotes and mark-up made plain; same length."""
    return text.translate(_PLAIN)


# --------------------------------------------------------------------------------------------------------------------
# numbers

_ONES = "zero one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_EN_VALUE = {word: n for n, word in enumerate(_ONES + _TEENS)} | {w: 10 * n for n, w in enumerate(_TENS, start=2)}
_EN_VALUE |= {"a": 1, "dozen": 12, "couple": 2, "pair": 2, "trio": 3, "quartet": 4, "quintet": 5, "single": 1}
_EN_VALUE |= {"lone": 1, "solitary": 1, "no": 0}
_ONE, _TEEN, _TEN = ("|".join(words) for words in (_ONES, _TEENS, _TENS))
_EN_SMALL = rf"(?:(?:{_TEN})(?:[-\s](?:{_ONE})\b)?|{_TEEN}|{_ONE})"
EN_WORDS = rf"(?:(?:(?:{_ONE}|a)\s+thousand(?:,?\s+(?:and\s+)?)?)?(?:{_ONE}|a)\s+hundred(?:\s+(?:and\s+)?{_EN_SMALL})?"
EN_WORDS += (
    rf"|{_EN_SMALL}|(?:(?:(?:half\s+)?a|two|three|four)\s+)?dozen(?!\s+of)|a\s+(?:couple|pair|trio|quartet|quintet)\s+of"
    r")(?![a-z])"
)
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?!\d)"
EN_NUMBER = rf"(?:(?=\d)(?<![\d.,/+-])(?<!\b\d:)(?<!\b\d\d:)(?:{DIGITS})|\b(?=[zotfsenadh]){EN_WORDS})"
_HAN = "[零〇一二两三四五六七八九十百千]"
ZH_WORDS = rf"(?={_HAN})(?<![几好第])(?<![^子群区总个]数){_HAN}+(?:万{_HAN}*)?(?!几)"
# "四五个" is four or five, "二十三四" 23 or 24, "五六十" 50 to 60
ZH_NEIGHBOURS = (
    "(?P<tens>[一二三四五六七八九]?十|)(?P<a>[一二两三四五六七八])(?P<b>[二两三四五六七八九])(?P<unit>[十百千]?)"
)
ZH_NUMBER = rf"(?:(?=\d)(?<![\d.,/+-])(?<!\b\d:)(?<!\b\d\d:){DIGITS}(?:万(?!分))?|{ZH_WORDS})"
UPPER = rf"(?:{DIGITS}|\b{EN_WORDS}|{ZH_WORDS})"  # the second number of a range, which follows a dash

_ZH_VALUE = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2, "仨": 3}
_ZH_UNIT = {"十": 10, "百": 100, "千": 1000}
_MYRIAD = 10_000


def number(text: str) -> int:
    """A number in digits ("2,740"), English words ("sixty-four") or Chinese ("六十四", "一七一")."""
    digits = text.replace(",", "")
    if digits.isascii() and digits.isdigit():
        return int(digits)
    if "万" in text:
        high, _, low = digits.partition("万")
        return _MYRIAD * (number(high) if high else 1) + (number(low) if low else 0)
    return _zh_number(text) if re.fullmatch(f"{ZH_WORDS}|[俩仨]", text) else _en_number(text)


def _en_number(text: str) -> int:
    total = current = 0
    for word in re.findall(r"[a-z]+", text.lower()):
        if word == "hundred":
            current *= 100
        elif word == "dozen":
            current = 6 if "half" in text.lower() else 12 * max(current, 1)
        elif word == "thousand":
            total, current = 1000 * current, 0
        elif word in ("couple", "pair", "trio", "quartet", "quintet"):
            current = _EN_VALUE[word]
        else:
            current += _EN_VALUE.get(word, 0)
    return total + current


def _zh_number(text: str) -> int:
    if not set(text) & set(_ZH_UNIT):
        return int("".join(str(_ZH_VALUE[c]) for c in text))
    total = digit = 0
    unit = 1
    for c in text:
        if c in _ZH_UNIT:
            total, digit, unit = total + (digit or 1) * _ZH_UNIT[c], 0, _ZH_UNIT[c]
        else:
            digit, unit = _ZH_VALUE[c], unit if _ZH_VALUE[c] else 10
    return total + digit * (unit // 10 or 1)  # "九百八" is 980, "九百零八" 908


def _neighbours(text: str) -> tuple[int, int] | None:
    """The two numbers that "二十三四", "五六十" or "三五" leave open; None for one number."""
    match = re.fullmatch(ZH_NEIGHBOURS, text)
    if match is None:
        return None
    low, high = (number(match["tens"] + match[end] + match["unit"]) for end in "ab")
    step = (high - low) // (_ZH_UNIT[match["unit"]] if match["unit"] else 1)
    return (low, high) if step == 1 or text == "三五" else None


# comparisons: which end of the claimed interval a number is; nobody quarrels about the sixtieth of "more than 60"
_AT_LEAST = (
    r"at\s+least|no(?:t)?\s+(?:fewer|less)\s+than|a\s+minimum\s+of|>=|≥|至少有?|少说也?有?|最少有?|起码有?"
    r"|不少于|不低于|不下"
)
# "loops over 3 regions" is a place, "with over 3 regions" a count
_AFTER = (
    "(?:"
    + "|".join(
        rf"(?<=\b{word}\s)"
        for word in "has have had with of to and at is are was were holds hosts covers spans shows contains well just"
        " slightly".split()
    )
    + r"|^)"
)
_MORE_THAN = (
    rf"(?<!no\s)(?<!not\s)(?:more|greater|larger)\s+than|{_AFTER}(?:over|above)|exceed(?:s|ed|ing)?|upwards\s+of"
    rf"|>|超过|多于|大于|高于|不止|不只|逾|超"
)
_AT_MOST = r"at\s+most|(?:no|not)\s+more\s+than|up\s+to|a\s+maximum\s+of|<=|≤|至多有?|最多有?|不超过|不多于|不大于"
_LESS_THAN = rf"(?<!no\s)(?<!not\s)(?:fewer|less|smaller)\s+than|{_AFTER}(?:under|below)|<|少于|不足|不到|小于|低于"
COMPARISON = rf"(?:(?P<least>{_AT_LEAST})|(?P<most>{_AT_MOST})|(?P<over>{_MORE_THAN})|(?P<under>{_LESS_THAN}))"

_COMPARED = re.compile(
    rf"{COMPARISON}\s*(?:between\s+|(?:可以?|能|够)*(?:见|看到|看出|数出|见到|分?辨认?出|拥有|包含|包括|含有?|具有|存在"
    rf"|有|达|为|了)*\s*)?$",
    re.I | re.A,
)


def counted(match: re.Match) -> int | str:
    """The count a match claims: 3, "1-2", "3+" from groups n, m (upper end), more ("or more") and the words before."""
    compared = _COMPARED.search(match.string, max(0, match.start("n") - 40), match.start("n"))
    found = match.groupdict() | (compared.groupdict() if compared else {})
    if between := _neighbours(found["n"]):
        return interval(*between)
    low = number(found["n"])
    high = number(found["m"]) if found.get("m") else low
    if found.get("least") or found.get("more"):
        return interval(low, None)
    if found.get("over"):
        return interval(low, None)
    if found.get("most") or found.get("fewer"):
        return interval(0, high)
    return interval(0, low - 1) if found.get("under") and low else interval(low, high)


def interval(low: int, high: int | None) -> int | str:
    """A count as it is claimed: 3, "1-2" or, without an upper end, "3+"."""
    if high is None:
        return f"{low}+"
    return low if low == high else f"{low}-{high}"
