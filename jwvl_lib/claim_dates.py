"""Claims of date and time: ISO, written out in English or Chinese, in part, in other zones. Reads and writes nothing.

A value is ISO 8601 cut to the precision stated: "2014-10-24T21:40", "2014-10-24", "2014-10", "2014", "--10-24" without
the year, "T21:40" without the date.
"""

import re
from datetime import datetime, timedelta

from jwvl_lib.claim_grammar import Found, Pattern, number, pattern

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_YEAR = r"(?P<year>(?:19|20)\d\d)(?!\d)"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth".split()
_DAY = rf"(?P<day>(?<!\d)\d{{1,2}}(?!\d)|{'|'.join(_ORDINALS)})(?:st|nd|rd|th)?"
_ZONE = r"(?:\s*\(?(?:UTC?|GMT|Z|universal\s+time|世界时|协调世界时|国际标准时间?)(?![A-Za-z])\)?)"
_AHEAD = r"(?P<ahead>\s*\(?(?:北京时间?|Beijing\s+time|CST|UTC?\s*\+\s*0?8)\)?)"  # eight hours ahead of UTC
_AHEAD_FIRST = r"(?:(?P<ahead1>北京时间?|Beijing\s+time)\s*:?\s*)?"
_CLOCK = (
    r"(?P<hour>[01]?\d|2[0-4])(?:\s*[:h]\s*|\s*[时點点]\s*|\.(?=\d\d\s*(?:UT|Z\b))|(?=\d\d\s*(?:UT|Z\b|GMT"
    r"|世界时)))(?P<minute>[0-5]\d)(?:\s*[:ms分]\s*(?P<second>[0-5]\d)(?:\.\d+)?秒?)?(?:分|m(?![a-z]))?"
    r"(?:\s*(?P<pm>[ap])\.?m\b\.?)?"
)
_CLOCK4 = r"(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)"
_JOIN = r"(?:\s*[T,，_(]?\s*(?:(?:at|around|about|near|的|约|于)\s+|约|的|UTC?时?间?\s*|世界时间?\s*)*)"
_TIME = rf"(?:{_JOIN}(?P<ahead0>北京时间?)?{_CLOCK}(?:{_ZONE}|{_AHEAD})?)"
_ZH_NUM = r"[〇零一二三四五六七八九十\d]"


def _value(match: re.Match) -> Found | None:
    """A date, its parts and a clock as far as the match has them; None for what no calendar has."""
    found = match.groupdict()
    year, month, day = found.get("year"), found.get("month"), found.get("day")
    if day and day.lower() in _ORDINALS:
        day = str(_ORDINALS.index(day.lower()) + 1)
    date = f"{number(year) + 2000 * (len(year) == 2)}" if year else "-" if month else ""
    if month:
        month_number = MONTHS.index(month[:3].lower()) + 1 if month[:3].lower() in MONTHS else number(month)
        if not 1 <= month_number <= 12 or (day and not 1 <= number(day) <= 31):
            return None
        date += f"-{month_number:02d}" + (f"-{number(day):02d}" if day else "")
    return [
        (
            "date_obs",
            _in_utc(date + _clock(found), bool(found.get("ahead") or found.get("ahead0") or found.get("ahead1"))),
        )
    ]


def _clock(found: dict) -> str:
    if not found.get("hour"):
        return ""
    hour, minute = number(found["hour"]), number(found.get("minute") or "0")
    hour += 12 * (bool(found.get("late")) or (found.get("pm") or "").lower() == "p") * (hour < 12)
    hour *= not ((found.get("pm") or "").lower() == "a" and hour == 12)
    text = f"T{hour:02d}" + (f":{minute:02d}" if found.get("minute") else "")
    return text + (f":{number(found['second']):02d}" if found.get("second") else "")


def _in_utc(value: str, ahead: bool) -> str:
    """A time of UTC+8 (Beijing) in UTC, at the same precision."""
    if not ahead or "T" not in value:
        return value
    date, clock = value.split("T")
    dated = len(date) == 10
    shifted = datetime.fromisoformat(f"{date if dated else '2000-01-02'}T{clock}") - timedelta(hours=8)
    return shifted.isoformat()[: len(value)] if dated else "T" + shifted.isoformat()[11 : 11 + len(clock)]


def _slashed(match: re.Match) -> Found | None:
    """10/24/2014 or 24/10/2014: only where one of them cannot be a month is it known which."""
    first, second, year = int(match["first"]), int(match["second"]), match["year"]
    month, day = (first, second) if second > 12 or first == second else (second, first)
    known = max(first, second) > 12 or first == second
    return [("date_obs", f"{year}-{month:02d}-{day:02d}")] if known and 1 <= month <= 12 and 1 <= day <= 31 else []


_LONG_AGO = r"\b(?:since|before|until|after|launched(?:\s+\w+)?\s+in)"  # when something else happened
_ON = r",?\s*(?:on\s+|of\s+)?(?:the\s+)?(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?"

DATES: list[Pattern] = [
    # the clock before the date: "at 21:40 UT on 24 October 2014"
    pattern("en",
            rf"(?<![\d:]){_CLOCK}(?:{_ZONE}|{_AHEAD})?{_ON}{_DAY}(?:\s+of)?[\s-]*{_MONTH},?[\s-]*{_YEAR}", _value),
    pattern("en", rf"(?<![\d:]){_CLOCK}(?:{_ZONE}|{_AHEAD})?{_ON}{_MONTH}\s+{_DAY},?\s+{_YEAR}", _value),
    pattern("",
            rf"(?<![\d:]){_CLOCK}(?:{_ZONE}|{_AHEAD})?{_ON}{_YEAR}(?P<sep>[-/.])(?P<month>\d{{1,2}})(?P=sep)"
            rf"(?P<day>\d{{1,2}})(?!\d)", _value),
    pattern("", rf"{_AHEAD_FIRST}(?<![\d.]){_YEAR}(?P<sep>[-/.])(?P<month>\d{{1,2}})(?P=sep)(?P<day>\d{{1,2}})(?!\d)"
            rf"(?:{_TIME}|{_ZONE})?", _value),
    pattern("",
            rf"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>[0-3]\d)(?:[T_\s-]?{_CLOCK4}"
            rf"(?P<second>[0-5]\d)?)?(?!\d)"
            rf"{_ZONE}?", _value),
    pattern("", rf"(?<![\d/])(?P<first>\d{{1,2}})/(?P<second>\d{{1,2}})/{_YEAR}", _slashed),
    pattern("en", rf"(?<![\d:.]){_DAY}(?:\s+of)?[\s-]*{_MONTH},?[\s-]*{_YEAR}(?:{_TIME}|{_ZONE})?", _value),
    pattern("en", rf"\b{_MONTH}\s+{_DAY},?\s+{_YEAR}(?:{_TIME}|{_ZONE})?", _value),
    pattern("en", rf"\b{_YEAR}\s+{_MONTH}\s+{_DAY}\b(?:{_TIME}|{_ZONE})?", _value),
    pattern("en", rf"{_LONG_AGO}\s+{_MONTH},?\s+{_YEAR}", []),
    pattern("en", rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}", _value),
    pattern("en", rf"(?<![\d:.]){_DAY}(?:\s+of)?\s+{_MONTH}(?:{_TIME})?", _value),
    pattern("en",
            rf"\b{_MONTH}\s+{_DAY}\b(?!\s*(?:active|numbered|spots|sunspots|regions|groups))(?:{_TIME})?", _value),
    pattern("zh", rf"(?P<year>{_ZH_NUM}{{4}})年(?P<month>{_ZH_NUM}{{1,3}})月(?P<day>{_ZH_NUM}{{1,3}})[日号]"
            rf"(?P<hour>[零一二三四五六七八九十]{{1,3}})[时点](?P<minute>[零〇一二三四五六七八九十]{{1,3}})分", _value),
    pattern("zh",
            rf"{_AHEAD_FIRST}(?P<year>{_ZH_NUM}{{4}}|\d\d)\s*年\s*(?P<month>{_ZH_NUM}{{1,3}})\s*月\s*"
            rf"(?P<day>{_ZH_NUM}{{1,3}})\s*[日号]"
            rf"(?:{_TIME})?", _value),
    pattern("zh", rf"(?P<year>{_ZH_NUM}{{4}})\s*年\s*(?P<month>{_ZH_NUM}{{1,3}})\s*月(?:份)?", _value),
    pattern("zh",
            rf"(?<!{_ZH_NUM})(?P<month>{_ZH_NUM}{{1,3}})\s*月\s*(?P<day>{_ZH_NUM}{{1,3}})\s*[日号](?:{_TIME})?",
            _value),
    # the clock alone needs its zone, or seconds: "1:15" may be a scale
    pattern("", rf"(?P<ahead0>北京时间?|Beijing\s+time)\s*{_CLOCK}", _value),
    pattern("", rf"(?:UTC?|世界时)(?:时间)?\s*{_CLOCK}(?![\d:])", _value),
    pattern("", rf"(?<![\d:]){_CLOCK}(?:{_ZONE}|{_AHEAD})", _value),
    pattern("", rf"(?<![\d:]){_CLOCK4}\s*(?:UTC?|Z)(?![A-Za-z])", _value),
    pattern("en", rf"(?<![\d:])(?:at|around|about)\s+{_CLOCK}(?![\d:])", _value),
    pattern("zh", rf"(?<![\d:]){_CLOCK}(?![\d:])", _value),
]  # fmt: skip
