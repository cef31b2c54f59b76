"""Sentences of the daily report in English and Chinese: templates filled with its facts, by no language model.

Every sentence is a claim `{text, language, verdict, evidence}`: supported, because it is made from the rows it cites.
"""

from datetime import datetime

from jwvl_lib.knowledge import goes_letters, term
from jwvl_lib.report_watch import percent


def narrative_claims(report: dict, languages: tuple[str, ...]) -> list[dict]:
    """The claims of a report that has its regions, flares, level and watch list, in reading order, per language."""
    makers = (_activity, _disk, _largest, _magnetic, _change, _scales, _chance, _watch)
    sentences = [s for make in makers if (s := make(report))]
    return [
        {"text": s[language], "language": language, "verdict": "supported", "evidence": s["evidence"]}
        for language in languages
        for s in sentences
    ]


def join(claims: list[dict], language: str) -> str:
    """The narrative of one language: its sentences in order."""
    return ("" if language == "zh" else " ").join(c["text"] for c in claims if c["language"] == language)


def date_en(date: str) -> str:
    """`2014-10-24T...` -> `24 October 2014`."""
    day = datetime.fromisoformat(date)
    names = ("January February March April May June July August September October November December").split()
    return f"{day.day} {names[day.month - 1]} {day.year}"


def date_zh(date: str) -> str:
    """`2014-10-24T...` -> `2014年10月24日`."""
    day = datetime.fromisoformat(date)
    return f"{day.year}年{day.month}月{day.day}日"


def clock_en(time: str, day: str) -> str:
    """`00:12 UT`, with its date where that is not the day spoken of: a flare's peak may come after midnight."""
    return f"{time[11:16]} UT" + (f" on {date_en(time)}" if time[:10] != day[:10] else "")


def clock_zh(time: str, day: str) -> str:
    """`00:12 UT`, with its date before it where that is not the day spoken of."""
    return (date_zh(time) if time[:10] != day[:10] else "") + f"{time[11:16]} UT"


def _activity(report: dict) -> dict:
    level, flares = report["activity_level"], report["flares"]
    day = report["flares_date"]
    whose, whose_zh = (term(f"activity_convention.{level['convention']}", language) for language in ("en", "zh"))
    if level["value"] == "not known":
        return {
            "en": f"The level of solar activity on {date_en(day)} is not known: no events list of that day was given.",
            "zh": f"{date_zh(day)}的太阳活动水平未知：没有当日的事件表。",
            "evidence": report["summary_evidence"][:1],
        }
    counts = {c: sum(f["goes_class"][0] == c for f in flares) for c in "CMX"}
    en = f"Solar activity on {date_en(day)} was {level['value']} ({whose} convention)"
    zh = f"{date_zh(day)}太阳活动水平为{term('activity_level.' + level['value'], 'zh')}（{whose_zh}标准）"
    if not flares:
        return {
            "en": f"{en}: no X-ray flare was reported.",
            "zh": f"{zh}：没有X射线耀斑报告。",
            "evidence": level["evidence"],
        }
    top = max(flares, key=lambda f: (_rank(f["goes_class"]), f["begin"]))
    listed = ", ".join(f"{n} {c}-class" for c, n in counts.items() if n) or "none of class C or stronger"
    listed_zh = "、".join(f"{c}级{n}次" for c, n in counts.items() if n) or "没有C级或更强耀斑"
    where, where_zh = (f" in region {top['noaa_ar']}", f"，位于{top['noaa_ar']}") if top["noaa_ar"] else ("", "")
    word, word_zh, time = ("peaking", "峰值", top["peak"]) if top["peak"] else ("beginning", "开始于", top["begin"])
    when, when_zh = clock_en(time, day), clock_zh(time, day)
    return {
        "en": f"{en}; X-ray flares: {listed}; the largest was {top['goes_class']}{where}, {word} at {when}.",
        "zh": f"{zh}，X射线耀斑：{listed_zh}；最大为{top['goes_class']}{where_zh}，{word_zh}{when_zh}。",
        "evidence": [e for f in flares if f["goes_class"][0] in "CMX" or f is top for e in f["evidence"]],
    }


def _rank(goes_class: str) -> float:
    return goes_letters().index(goes_class[0]) * 1000 + float(goes_class[1:])


def _disk(report: dict) -> dict | None:
    regions, valid = report["regions"], report["valid_utc"]
    if report["regions_from"] is None:
        return None
    n = len(regions)
    held = f"{n} numbered regions with spots" if n > 1 else f"{'one' if n else 'no'} numbered region with spots"
    held_zh = f"有{n}个带黑子的编号活动区" if n else "没有带黑子的编号活动区"
    return {
        "en": f"At {valid[11:16]} UT on {date_en(valid)} the disk held {held}.",
        "zh": f"{date_zh(valid)}{valid[11:16]} UT，日面上{held_zh}。",
        "evidence": report["summary_evidence"] + [r["evidence"][0] for r in regions],
    }


def _by_area(report: dict) -> dict | None:
    sized = [r for r in report["regions"] if r["area_msh"] is not None]
    return max(sized, key=lambda r: r["area_msh"], default=None)


def _largest(report: dict) -> dict | None:
    top = _by_area(report)
    if top is None:
        return None
    number, place = top["noaa_ar"], top["location"]
    area, area_zh = f"{top['area_msh']} millionths of the hemisphere", f"面积{top['area_msh']}（太阳半球的百万分之一）"
    more, more_zh = _as_listed(top)
    return {
        "en": f"The largest is {number}{f' at {place}' if place else ''}: {', '.join([area, *more])}.",
        "zh": f"最大的是{f'位于{place}的' if place else ''}{number}：{'，'.join([area_zh, *more_zh])}。",
        "evidence": top["evidence"][:1],
    }


def _as_listed(region: dict) -> tuple[list[str], list[str]]:
    """Classes and spots of a region in both languages; what its row leaves empty is left out."""
    mcintosh, hale, n = region["mcintosh_class"], region["hale_class"], region["n_spots"]
    said = [(f"McIntosh class {mcintosh}", f"McIntosh分类{mcintosh}")] if mcintosh else []
    said += [(f"magnetic class {hale}", f"磁分类{hale}")] if hale else []
    said += [(f"{n} spot{'s' if n != 1 else ''}", f"黑子{n}个")] if n is not None else []
    return [en for en, _ in said], [zh for _, zh in said]


def _magnetic(report: dict) -> dict | None:
    """How complex the fields are: the regions with a delta spot, or with mixed polarities where none has."""
    deltas = [r for r in report["regions"] if "delta" in r["flags"]]
    chosen = deltas or [r for r in report["regions"] if "Gamma" in (r["hale_class"] or "")]
    if not chosen:
        return None
    names = ", ".join(f"{r['noaa_ar']} ({r['hale_class']})" for r in chosen)
    names_zh = "、".join(f"{r['noaa_ar']}（{r['hale_class']}）" for r in chosen)
    return {
        "en": f"{'A delta spot is' if deltas else 'Mixed polarities are'} reported in {names}.",
        "zh": f"{'含δ黑子' if deltas else '磁极性混杂'}的活动区：{names_zh}。",
        "evidence": [r["evidence"][0] for r in chosen],
    }


def _scales(report: dict) -> dict | None:
    """The NOAA scales that were reached."""
    reached = [s for s in report["impacts"].values() if s["value"] not in ("none", "not known")]
    if not reached:
        return None
    said = ", ".join("{value} ({reason})".format(**s) for s in reached)
    said_zh = "、".join("{value}（{reason_zh}）".format(**s) for s in reached)
    return {
        "en": f"NOAA scales reached: {said}.",
        "zh": f"达到的NOAA等级：{said_zh}。",
        "evidence": [e for s in reached for e in s["evidence"]],
    }


def _change(report: dict) -> dict | None:
    moved = [r for r in report["regions"] if r["area_change_msh"]]
    if not moved:
        return None
    r = max(moved, key=lambda r: (abs(r["area_change_msh"]), r["noaa_ar"]))
    grew, before = r["area_change_msh"] > 0, r["previous"]
    return {
        "en": f"The largest change of area is that of {r['noaa_ar']}, which {'grew' if grew else 'shrank'} from "
        f"{before['area_msh']} to {r['area_msh']} millionths since the report of {date_en(before['issued'])}.",
        "zh": f"面积变化最大的是{r['noaa_ar']}：自{date_zh(before['issued'])}的报告以来，由{before['area_msh']}"
        f"{'增大' if grew else '减小'}到{r['area_msh']}。",
        "evidence": before["evidence"] + r["evidence"][:1],
    }


def _chance(report: dict) -> dict | None:
    rated = [r for r in report["regions"] if r["p_m"]]
    if not rated:
        return None
    r = max(rated, key=lambda r: (r["p_m"]["value"], r["noaa_ar"]))
    p, (first, last) = r["p_m"], report["rates"]["years"]
    interval = f"{percent(p['value'])} (90% interval {percent(p['low'])} to {percent(p['high'])})"
    if report["rates"].get("method") == "flare_model":
        interval_zh = f"{percent(p['value'])}（90%区间{percent(p['low'])}至{percent(p['high'])}）"
        return {
            "en": f"By this project's flare model the likeliest to flare is {r['noaa_ar']}: its chance of an M-class "
            f"or stronger flare within a day is {interval}.",
            "zh": f"按本项目的耀斑模型，{r['noaa_ar']}爆发的可能性最高：一天内出现M级或更强耀斑的概率为{interval_zh}。",
            "evidence": r["evidence"],
        }
    return {
        "en": f"By the record of {first}-{last} the likeliest to flare is {r['noaa_ar']}: a region of class "
        f"{r['mcintosh_class']} has a chance of {interval} of an M-class or stronger flare within a day.",
        "zh": f"按{first}—{last}年的记录，{r['noaa_ar']}爆发的可能性最高：{r['mcintosh_class']}类活动区一天内出现M级或"
        f"更强耀斑的概率为{percent(p['value'])}（90%区间{percent(p['low'])}至{percent(p['high'])}）。",
        "evidence": [*r["evidence"], *report["rates"]["evidence"]],
    }


def _watch(report: dict) -> dict | None:
    numbers = [str(w["noaa_ar"]) for w in report["watch_list"]]
    if not numbers:
        return None
    evidence = [r["evidence"][0] for r in report["regions"] if str(r["noaa_ar"]) in numbers]
    return {
        "en": f"To be watched: {', '.join(numbers)}.",
        "zh": f"值得关注：{'、'.join(numbers)}。",
        "evidence": evidence,
    }
