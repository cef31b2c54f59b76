"""Claims of date and time: ISO, written out in English or Chinese, in part, in other zones. Reads and writes nothing.

A value is ISO 8601 cut to the precision stated: "2014-10-24T21:40", "2014-10-24", "2014-10", "2014", "--10-24" without
the year, "T21:40" without the date. A date or clock that there is not ("2014-02-30", "T25:10") is a value as it is
stated, in no other zone: a claim that no fact can support.
"""

import re
from datetime import datetime, timedelta

from jwvl_lib.claim_grammar import Found, Pattern, number, pattern

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth".split()

# --------------------------------------------------------------------------------------------------------------------
# parts of a date

_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?![a-z])\.?"
)
_YEAR = r"(?<!\d)(?P<year>(?:19|20)\d\d|'\d\d)(?!\d)"
_DAY = rf"(?=[\dfsten])(?P<day>(?<!\d)\d{{1,2}}(?!\d)|{'|'.join(_ORDINALS)})(?:st|nd|rd|th)?"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?\s+)?"
_ISO = r"(?P<year>(?:19|20)\d\d)(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})(?!\d)"
_DAY_FIRST = rf"{_DAY}(?:\s+(?:day\s+)?of)?[\s-]*{_MONTH},?(?:\s+of|\s+in)?[\s-]*{_YEAR}"
_MONTH_FIRST = rf"{_MONTH}[\s-]+(?:the\s+)?{_DAY}(?:\s*,|\s+of(?:\s+(?:the\s+)?year)?|-)?\s*{_YEAR}"
_ZH_DIGIT = r"[〇零一二三四五六七八九十\d]"
_ZH_DAY = rf"(?P<month>{_ZH_DIGIT}{{1,3}})\s*月\s*(?P<day>{_ZH_DIGIT}{{1,3}})\s*[日号]"
_ZH_DATE = rf"(?P<year>{_ZH_DIGIT}{{4}}|\d\d)\s*年\s*{_ZH_DAY}"

# parts of a time
_UTC = r"(?:UTC?|GMT|Z|(?:coordinated\s+)?universal\s+time|(?:协调)?世界时间?|国际标准时间?|格林尼治(?:标准)?时间?)"
_ZONE = rf"(?:\s*\(?{_UTC}(?![A-Za-z])\)?)"
_BEIJING = r"(?:北京时间?|Beijing\s+time)"
_AHEAD = rf"(?P<ahead>\s*[(]?(?:{_BEIJING}|CST|UTC?\s*\+\s*0?8)[)]?)"  # eight hours ahead of UTC
_AHEAD_FIRST = rf"(?:(?P<ahead1>{_BEIJING})\s*:?\s*)?"
_PART_OF_DAY = r"(?P<part>凌晨|清晨|早上|早晨|上午|中午|午后|下午|傍晚|晚上|晚间|夜间|深夜|当晚|晚)?"
_HALF = r"(?P<half>\s*\(?[ap]\.?m\b\.?\)?|\s+in\s+the\s+(?:morning|afternoon|evening)|\s+at\s+night)"
_SECOND = r"(?:\s*[:ms分]\s*(?P<second>[0-5]\d)(?:\.\d+)?(?:秒|s(?![a-z]))?)?"
_CLOCK = (
    rf"(?=[\d凌清早上中午下傍晚夜深当]){_PART_OF_DAY}(?P<hour>[01]?\d|2[0-4])(?:\s*[:h]\s*|\s*[时點点]\s*"
    rf"|\.(?=\d\d\s*(?:UT|Z\b"
    rf"|[ap]\.?m\b))"
    rf"|(?=\d\d\s*(?:UT|Z\b|GMT|hrs?\b|hours\b|世界时)))(?P<minute>[0-5]\d){_SECOND}(?:分|m(?![a-z]))?"
    rf"(?:\s*(?:hrs?|hours)\b)?{_HALF}?"
)
_ZH_CLOCK = (
    rf"{_PART_OF_DAY}(?P<hour>{_ZH_DIGIT}{{1,3}})\s*[时点點]\s*(?:(?P<minute>半|一刻|三刻|整|{_ZH_DIGIT}{{1,3}})\s*分?"
    rf"(?:\s*(?P<second>{_ZH_DIGIT}{{1,3}})\s*秒)?|整)?(?![个\d])"
)
_HOUR = rf"(?P<hour>[01]?\d|2[0-4])(?:\s*o'clock)?{_HALF}"
_CLOCK4 = r"(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)"
_ABOUT = (
    r"(?:at|around|about|near|circa|shortly\s+(?:after|before)|just\s+(?:after|before)|approximately|的|约|于|在|大约)"
)
_JOIN = rf"(?:\s*[T,，;_(-]?\s*(?:{_ABOUT}\s*|time:?\s*|{_UTC}\s*(?:时间)?[:,]?\s*)*)"
_TIME = rf"(?:{_JOIN}(?P<ahead0>{_BEIJING})?{_CLOCK}(?:{_ZONE}|{_AHEAD})?)"
_ZH_TIME = _TIME.replace(_CLOCK, _ZH_CLOCK)
_ON = rf",?\s*(?:on\s+|of\s+|时间\s*)?(?:the\s+)?{_WEEKDAY}"


def _value(match: re.Match) -> Found | None:
    """A date, its parts and a clock as far as the match has them; None for numbers that are neither ("64 may")."""
    found = match.groupdict()
    year, month, day = (found.get(k) for k in ("year", "month", "day"))
    if day and day.lower() in _ORDINALS:
        day = str(_ORDINALS.index(day.lower()) + 1)
    date = f"{number(year.strip(chr(39))) + 2000 * (len(year) < 4)}" if year else "-" if month else ""
    if month:
        named = month[:3].lower() in MONTHS
        if named and day and not year and not 1 <= number(day) <= 31:
            return None
        date += f"-{MONTHS.index(month[:3].lower()) + 1 if named else number(month):02d}"
        date += f"-{number(day):02d}" if day else ""
    clock = _clock(found)
    return [("date_obs", _in_utc(date + clock, found))] if date or _SHOWN.match(clock) else None


_ROMAN = "I II III IV V VI VII VIII IX X XI XII".split()


def _roman(match: re.Match) -> Found | None:
    """8.IX.2005"""
    month = match["roman"].upper()
    known = month in _ROMAN
    return [("date_obs", f"{match['year']}-{_ROMAN.index(month) + 1:02d}-{int(match['day']):02d}")] if known else None


_HOURS = "one two three four five six seven eight nine ten eleven twelve".split()
_PAST_HOUR = rf"(?:a\s+)?(?P<quarter>half|quarter)\s+(?P<side>past|to)\s+(?P<word>{'|'.join(_HOURS)}){_HALF}?{_ZONE}?"


def _past_hour(match: re.Match) -> Found:
    """ "a quarter past nine in the evening" is 21:15."""
    minutes = 60 * (_HOURS.index(match["word"].lower()) + 1)
    minutes += {"half": 30, "quarter": 15}[match["quarter"].lower()] * (1 if match["side"].lower() == "past" else -1)
    half = (match["half"] or "").strip().lower()
    minutes += 720 * (half[:1] == "p" or half.endswith(("afternoon", "evening", "night"))) * (minutes < 720)
    return [("date_obs", f"T{minutes // 60:02d}:{minutes % 60:02d}")]


def _exact(match: re.Match) -> Found | None:
    """A clock in words, if it says more than "ten points"."""
    decimal = (
        len(match["minute"] or "") == 1 and match["minute"] != "半" and not match["part"] and match.group()[-1] != "分"
    )
    said = match["minute"] or match["part"] or match.group()[-1] in "时整"
    return _value(match) if said and not decimal else None


_ZH_MINUTES = {"半": 30, "一刻": 15, "三刻": 45, "整": 0}


_SHOWN = re.compile(r"T(?:[01]\d|2[0-4])(?!\d)(?!:[6-9]\d|:\d{3})")  # "300点" is no time of the day


def _clock(found: dict) -> str:
    """ "T21:15" of hour, minute, second and what part of the day they are in; "" without an hour."""
    if not found.get("hour"):
        return ""
    hour, minute = number(found["hour"]), found.get("minute")
    half = (found.get("half") or "").strip(" (").lower()
    late = half[:1] == "p" or half.endswith(("afternoon", "evening", "night"))
    late = late or (found.get("part") or "") in tuple("午后 下午 傍晚 晚上 晚间 夜间 深夜 当晚 晚".split())
    hour = hour % 12 if half[:1] == "a" else hour + 12 * (late and hour < 12)
    minutes = _ZH_MINUTES.get(minute, None) if minute in _ZH_MINUTES else number(minute) if minute else None
    text = f"T{hour:02d}" + (f":{minutes:02d}" if minutes is not None else "")
    return text + (f":{number(found['second']):02d}" if found.get("second") else "")


def _in_utc(value: str, found: dict) -> str:
    """A time in UTC, at the same precision, where the match says that it is one of UTC+8 (Beijing)."""
    ahead = any(found.get(k) for k in ("ahead", "ahead0", "ahead1"))
    return _later(at_midnight(value), -8) if ahead and "T" in value else value


def at_midnight(value: str) -> str:
    """24:00 as 00:00 of the next day; any other time or date as it is."""
    date, _, clock = value.partition("T")
    return _later(f"{date}T00{clock[2:]}", 24) if re.fullmatch("24(?::00)*", clock) else value


def _later(value: str, hours: int) -> str:
    """A time so many hours later, at the same precision; unchanged where there is no such time."""
    date, _, clock = value.partition("T")
    try:
        moved = (_moment(value) + timedelta(hours=hours)).isoformat()
    except (ValueError, OverflowError):
        return value
    until = len("2000-01-02T") + len(clock)
    return "T" + moved[11:until] if not date else ("-" + moved[4:until] if date[0] == "-" else moved[:until])


def exists(value: str) -> bool:
    """Whether a calendar has the date of a value, and a clock its time: not 30 February, not 24:30."""
    try:
        _moment(at_midnight(value))
    except ValueError:
        return False
    return True


def _moment(value: str) -> datetime:
    """The first moment of what a value states; a year left out is 2000, which has a 29 February."""
    date, _, clock = value.partition("T")
    day = {"": "2000-01-02", "-": "2000" + date[1:]}.get(date[:1], date)
    return datetime.fromisoformat(f"{(day + '-01-01')[:10]}T{clock or '00'}")


def _slashed(match: re.Match) -> Found | None:
    """10/24/2014 or 24/10/2014: where one cannot be a month it is known which; in 24.10.2014 the day is first."""
    found = match.groupdict()
    first, second, year = int(match["first"]), int(match["other"]), match["year"]
    month, day = (first, second) if second > 12 or first == second else (second, first)
    known = max(first, second) > 12 or first == second or match["sep"] == "."
    return [("date_obs", _in_utc(f"{year}-{month:02d}-{day:02d}{_clock(found)}", found))] if known else []


_NO_CLOCK = rf"(?P<hour>{_ZH_DIGIT}{{1,3}})\s*[:时点點]\s*(?P<minute>{_ZH_DIGIT}{{1,3}})\s*分?"


def _no_clock(match: re.Match) -> Found | None:
    """25:30 UT: what no clock shows is claimed all the same where its zone says that it is a time."""
    value = f"T{number(match['hour']):02d}:{number(match['minute']):02d}"
    return None if exists(value) else [("date_obs", value)]


_LONG_AGO = r"\b(?:since|before|until|after|launched(?:\s+\w+)?\s+in)"  # when something else happened
_NOT_COUNTED = r"(?!\s*(?:active|numbered|spots|sunspots|regions|groups))"
_MADE = (
    r"(?:taken|captured|recorded|acquired|obtained|observed|made|image|picture|photograph|frame|magnetogram|map|dated?)"
)

DATES: list[Pattern] = [
    # a span of days is no time of this picture
    pattern("en", rf"(?<!\d)\d{{1,2}}\s*(?:-|to|and|through|until)\s*\d{{1,2}}\s+{_MONTH}(?:\s+{_YEAR})?", []),
    pattern("zh", r"(?:\d{4}年)?\d{1,2}月\d{1,2}[日号]?(?:-|至|到)(?:\d{1,2}月)?\d{1,2}[日号]", []),
    pattern("zh", r"(?:自|从)?(?:19|20)\d\d年(?:\d{1,2}月)?(?:\d{1,2}[日号])?以来", []),
    # the clock before the date: "at 21:40 UT on 24 October 2014"
    *(
        pattern("", rf"(?<!\d)(?<!\d:){clock}(?:{_ZONE}|{_AHEAD})?{_ON}{date}", _value)
        for date in (_DAY_FIRST, _MONTH_FIRST, _ISO)
        for clock in (_CLOCK, _HOUR)
    ),
    pattern("", rf"{_AHEAD_FIRST}(?<![\d.]){_ISO}(?:{_TIME}|{_ZONE})?", _value),
    pattern("",
            rf"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>[0-3]\d)(?:[T_\s-]?{_CLOCK4}"
            rf"(?P<second>[0-5]\d)?)?(?!\d){_ZONE}?", _value),
    pattern("", rf"(?<![\d/.-])(?P<first>\d{{1,2}})(?P<sep>[/.-])(?P<other>\d{{1,2}})(?P=sep)"
            rf"(?P<year>(?:19|20)\d\d)(?!\d)(?:{_TIME}|{_ZONE})?", _slashed),
    pattern("en", r"(?<![\d.])(?P<day>\d{1,2})\.\s?(?P<roman>[IVX]{1,4})\.\s?(?P<year>(?:19|20)\d\d)(?!\d)", _roman),
    pattern("", rf"(?<![\d:.]){_DAY_FIRST}(?:{_TIME}|{_ZONE})?", _value),
    pattern("", rf"\b{_MONTH_FIRST}(?:{_TIME}|{_ZONE})?", _value),
    pattern("en", rf"{_YEAR},?[\s-]+{_MONTH}[\s-]+{_DAY}(?![\w:])(?:{_TIME}|{_ZONE})?", _value),
    pattern("en", rf"{_LONG_AGO}\s+{_MONTH},?\s+{_YEAR}", []),
    pattern("en", rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}", _value),
    *(
        pattern("en", rf"(?<!\d)(?<!\d:){_CLOCK}(?:{_ZONE}|{_AHEAD})?{_ON}{date}{_NOT_COUNTED}", _value)
        for date in (rf"{_DAY}(?:\s+of)?\s+{_MONTH}", rf"{_MONTH}\s+{_DAY}(?!\w)")
    ),
    pattern("en", rf"(?<![\d:.]){_DAY}(?:\s+of)?\s+{_MONTH}(?:{_TIME})?", _value),
    pattern("en", rf"\b{_MONTH}\s+(?:the\s+)?{_DAY}(?!\w){_NOT_COUNTED}(?:{_TIME})?", _value),
    pattern("en", rf"\b{_MADE}(?:\s+(?:from|in|of|is|to))?(?:\s+the\s+year)?:?\s+{_YEAR}(?!\s*[-/]\s*\d)", _value),
    pattern("zh", rf"{_ZH_DAY}\s*[(，,]\s*(?P<year>{_ZH_DIGIT}{{4}})\s*年\s*\)?(?:{_TIME})?", _value),
    pattern("zh", rf"{_AHEAD_FIRST}{_ZH_DATE}(?:{_TIME})", _value),
    pattern("zh", rf"{_AHEAD_FIRST}{_ZH_DATE}(?:{_ZH_TIME})?", _value),
    pattern("zh", rf"(?P<year>{_ZH_DIGIT}{{4}})\s*年\s*(?P<month>{_ZH_DIGIT}{{1,3}})\s*月(?:份)?", _value),
    pattern("zh", rf"{_AHEAD_FIRST}(?<!{_ZH_DIGIT}){_ZH_DAY}(?:{_TIME})", _value),
    pattern("zh", rf"{_AHEAD_FIRST}(?<!{_ZH_DIGIT}){_ZH_DAY}(?:{_ZH_TIME})?", _value),
    pattern("zh", r"(?:是|不是|并非|而非|[这此该本][幅张]?)(?P<year>(?:19|20)\d\d)年(?=的|拍|[，。；]|$)",
            lambda m: [("date_obs", m["year"], m.span("year"))]),
    pattern("zh", r"(?:摄于|拍于|取自|拍摄于|获取于|观测于|年份[为是:]?)\s*(?P<year>(?:19|20)\d\d)\s*年?(?!\s*\d|间"
        r"|代|来)", _value),
    # the clock alone needs its zone, or two digits on either side: "1:15" may be a scale
    pattern("", rf"(?P<ahead0>{_BEIJING})\s*:?\s*(?:\d{{1,2}}[日号]\s*)?{_CLOCK}", _value),
    pattern("", rf"{_UTC}(?:\s*时间)?\s*[:为]?\s*(?:\d{{1,2}}[日号]\s*)?{_CLOCK}(?![\d:])", _value),
    pattern("", rf"(?<!\d)(?<!\d:){_CLOCK}(?:{_ZONE}|{_AHEAD})", _value),
    pattern("", rf"(?<!\d)(?<!\d:){_CLOCK4}\s*(?:UTC?|Z|GMT)(?![A-Za-z])", _value),
    pattern("en", rf"(?<![\d:.]){_HOUR}", _value),
    pattern("en", _PAST_HOUR, _past_hour),
    pattern("en", r"\b(?:noon|midday)\b(?:\s+UTC?)?(?=\s+(?:on|of|UTC?)\b|\s*,)"
        r"|(?<=\bat\s)noon\b", [("date_obs", "T12:00")]),
    pattern("", r"(?<![\d:.,+])(?P<hour>[01]?\d|2[0-3])\s*UTC?(?![A-Za-z]|\s*[+\d])", _value),
    pattern("en", rf"(?<!\d)(?<!\d:)(?:at|around|about)\s+{_CLOCK}(?![\d:])", _value),
    pattern("en", rf"(?<!\d)(?<!\d:)(?=\d\d:\d\d){_CLOCK}(?![\d:])", _value),
    pattern("zh", rf"(?<!\d)(?<!\d:){_CLOCK}(?![\d:])", _value),
    pattern("zh", rf"(?<!{_ZH_DIGIT})(?<!分之)(?P<ahead0>{_BEIJING})?{_ZH_CLOCK}", _exact),
    pattern("", rf"(?:{_UTC}|{_BEIJING})\s*:?\s*{_NO_CLOCK}", _no_clock),
    pattern("", rf"(?<![\d:.]){_NO_CLOCK}(?:{_ZONE}|{_AHEAD})", _no_clock),
]  # fmt: skip
