"""Does a box in an image of a report lie where the cited line puts the region? Worked out anew, by a simpler way.

Reads and writes nothing. `report_images` projects with the image's header; here a place as printed ("S16W21") is turned
by the mean rotation and projected orthographically on the disk the report states, which is right to a few per cent.
"""

import math
import re
from datetime import datetime

from jwvl_lib.geometry import sun_from_earth

ROTATION_DEG_PER_DAY = 13.2  # synodic, at active latitudes
TOLERANCE_R = 0.06  # solar radii between the place and the middle of the box
LARGEST_R = 0.7  # no box is wider
PLACE = re.compile(r"\b([NS])(\d\d)([EW])(\d\d\d?)\b")


def box_holds(figure: dict, region: dict, line: str, valid_utc: str) -> bool:
    """Whether the middle of `region["box"]` is the place that `line` prints, at the time of the image."""
    printed, disk = PLACE.search(line), figure["disk"]
    if printed is None or disk is None:
        return False
    lat = math.radians(int(printed[2]) * (1 if printed[1] == "N" else -1))
    days = (datetime.fromisoformat(figure["date_obs"]) - datetime.fromisoformat(valid_utc)).total_seconds() / 86400
    lon = math.radians(int(printed[4]) * (1 if printed[3] == "W" else -1) + ROTATION_DEG_PER_DAY * days)
    b0, radius = math.radians(disk["b0_deg"]), disk["radius_px"]
    west = math.cos(lat) * math.sin(lon)
    north = math.sin(lat) * math.cos(b0) - math.cos(lat) * math.cos(lon) * math.sin(b0)
    x0, y0, x1, y1 = region["box"]
    off = math.hypot((x0 + x1) / 2 - disk["x"] - radius * west, (y0 + y1) / 2 - disk["y"] + radius * north) / radius
    near_limb = math.hypot(west, north) > 0.9  # there a box is cut at the limb, and its middle moves inwards
    return off < TOLERANCE_R * (2 if near_limb else 1) and 0 < x1 - x0 < LARGEST_R * radius and 0 < y1 - y0 < radius


def disk_is_sound(figure: dict) -> bool:
    """Whether the stated disk lies in its picture and its tilt is the Sun's on that day."""
    disk = figure["disk"]
    inside = 0 < disk["x"] < figure["width"] and 0 < disk["y"] < figure["height"]
    whole = disk["radius_px"] <= 0.56 * min(figure["width"], figure["height"])
    return inside and whole and abs(disk["b0_deg"] - sun_from_earth(figure["date_obs"])[1]) < 0.5
