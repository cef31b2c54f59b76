"""Which regions to watch, why, and how: rules over the facts of a day, with an observing recommendation.

Reads the regions and flares of a report, writes nothing. The rules are few and fixed, so that what they would have
flagged over a whole archive can be counted (`tests/heavy/test_report_archive.py`).
"""

from collections.abc import Iterable

WATCH_P_M = 0.1
CENTRAL_DEG = 45  # within it a magnetogram shows the field of a region well
ROTATION_DEG_PER_DAY = 13.2  # synodic, at active latitudes


def watch_list(regions: list[dict], flares: list[dict], climatology_m: float) -> list[dict]:
    """Regions to watch, the likeliest to flare first: `{noaa_ar, reasons, reasons_zh, observe, observe_zh, evidence}`.

    A region is listed for any of: chance of an M flare of `WATCH_P_M` or more, a delta spot, an M or X flare on the
    day before, growth of 100 millionths a day.
    """
    watched = []
    for region in regions:
        reasons = list(_reasons(region, flares, climatology_m))
        if reasons:
            advice = list(_observe(region))
            watched.append(
                {
                    "noaa_ar": region["noaa_ar"],
                    "reasons": [en for en, _ in reasons],
                    "reasons_zh": [zh for _, zh in reasons],
                    "observe": [en for en, _ in advice],
                    "observe_zh": [zh for _, zh in advice],
                    "evidence": _lines(region, flares),
                }
            )
    chance = {r["noaa_ar"]: r["p_m"]["value"] if r["p_m"] else 0.0 for r in regions}
    return sorted(watched, key=lambda w: (-chance[w["noaa_ar"]], w["noaa_ar"]))


def _lines(region: dict, flares: list[dict]) -> list[dict]:
    strong = [e for f in _strong(region, flares) for e in f["evidence"][:1]]
    return [*region["evidence"], *(region["previous"]["evidence"] if region["previous"] else []), *strong]


def _strong(region: dict, flares: list[dict]) -> list[dict]:
    return [f for f in flares if f["noaa_ar"] == region["noaa_ar"] and f["goes_class"][0] in "MX"]


def _reasons(region: dict, flares: list[dict], climatology_m: float) -> Iterable[tuple[str, str]]:
    if region["p_m"] and region["p_m"]["value"] >= WATCH_P_M:
        p, prior = percent(region["p_m"]["value"]), percent(climatology_m)
        name = region["mcintosh_class"]
        yield (
            f"chance of an M-class or stronger flare {p} (class {name}; all regions: {prior})",
            f"M级或更强耀斑概率{p}（{name}类；全部活动区：{prior}）",
        )
    if "delta" in region["flags"]:
        yield f"magnetic class {region['hale_class']}: a delta spot", f"磁分类{region['hale_class']}：含δ黑子"
    names = [f["goes_class"] for f in _strong(region, flares)]
    if names:
        yield f"flared on the day before: {', '.join(names)}", f"前一日爆发耀斑：{'、'.join(names)}"
    if "growing" in region["flags"]:
        change, before = region["area_change_msh"], region["previous"]["issued"]
        limb = "near_limb" in region["flags"]
        yield (
            f"area +{change} millionths since {before}" + (", near the limb: may be foreshortening" if limb else ""),
            f"面积自{before}以来增加{change}" + ("，靠近日面边缘，可能由投影引起" if limb else ""),
        )


def _observe(region: dict) -> Iterable[tuple[str, str]]:
    """What to point at the region, in which band or magnetogram, and why now."""
    lon = region["lon_deg"]
    if lon is None:
        return
    if abs(lon) <= CENTRAL_DEG:
        left = int((90 - lon) / ROTATION_DEG_PER_DAY)
        yield (
            f"vector magnetogram: it stands where the field is seen well, {left} days before the west limb",
            f"矢量磁图：位置适于磁场测量，距转到西边缘还有{left}天",
        )
    elif lon < 0:
        yield (
            "EUV 171 and 131 Å, H-alpha off the limb; magnetogram later: it is still near the east limb",
            "EUV 171与131 Å、日面边缘Hα；磁图稍后再测：目前仍靠近东边缘",
        )
    else:
        yield (
            "EUV 171 and 131 Å, coronagraph: it nears the west limb, eruptions will be seen from the side",
            "EUV 171与131 Å、日冕仪：接近西边缘，爆发可从侧面观测",
        )
    if "delta" in region["flags"] or "m_flare" in region["flags"]:
        yield (
            "H-alpha, 1600 Å and hard X-rays at full cadence: ribbons and footpoints along the polarity inversion line",
            "Hα、1600 Å与硬X射线高时间分辨率观测：极性反转线两侧的耀斑带与足点",
        )
    if "growing" in region["flags"]:
        yield (
            "continuum and line-of-sight magnetogram as a series: flux is emerging or coming into view",
            "连续谱与视向磁图时间序列：磁通量正在浮现或转入可见面",
        )


def percent(p: float) -> str:
    """A probability as a reader wants it: `36%`, `1.5%`, `< 0.1%`."""
    if p < 0.001:
        return "< 0.1%"
    return f"{100 * p:.1f}%" if p < 0.0995 else f"{100 * p:.0f}%"
