"""sunpy maps of the instruments that sunpy itself has no source for: importing this module registers them.

Reads the instrument table; writes nothing. `sunpy.map.Map(data, header)` then gives a `TableMap` wherever a row of the
table fits the header and no source of sunpy (or of another package) does, with the row's instrument, wavelength,
colormap and stretch. A date is never "now": a header without one gives an error.
"""

import astropy.units as u
import matplotlib
import sunpy.map
from astropy.visualization import AsinhStretch, ImageNormalize, LinearStretch, LogStretch, SqrtStretch
from sunpy.map import GenericMap
from sunpy.util import MetaDict

from jwvl_lib.instruments import Instrument, identify
from jwvl_lib.observations import Observation, header_date

STRETCHES = {"linear": LinearStretch, "sqrt": SqrtStretch, "log": LogStretch, "asinh": AsinhStretch}
DATES = ("date-obs", "date_obs", "time-obs", "time_obs")
FILE_CARD = "jwvlfile"  # rows that ask for the file name find it here, where the map was made by `to_map`


class TableMap(GenericMap):
    """Map of an image whose header fits a row of the instrument table and no other source; `row` is that row."""

    def __init__(self, data, header, **kwargs):
        header = MetaDict(header)
        self.row = _row(header)
        date = header_date({k.upper(): v for k, v in header.items()})
        if not date:
            raise ValueError(f"{self.row.name}: no date of observation in the header; sunpy would say 'now'")
        for key in DATES:
            header.pop(key, None)
        super().__init__(data, _with_units(header) | {"date-obs": date}, **kwargs)
        self._nickname = self.row.detector or self.row.instrument
        self.plot_settings["cmap"] = matplotlib.colormaps[self.row.colormap]
        stretch = STRETCHES[self.row.stretch.kind]()
        self.plot_settings["norm"] = ImageNormalize(stretch=stretch, clip=False)

    @property
    def observatory(self):
        return self.row.observatory

    @property
    def instrument(self):
        return self.row.instrument

    @property
    def detector(self):
        return self.row.detector

    @property
    def measurement(self):
        """The table's: an angstrom number of a channel, or a name as "magnetogram"."""
        return self.row.measurement

    @property
    def wavelength(self):
        return (
            None
            if self.row.wavelength_angstrom != self.row.wavelength_angstrom
            else self.row.wavelength_angstrom * u.AA
        )

    @classmethod
    def is_datasource_for(cls, data, header, **kwargs):
        """Whether a row of the table fits and nobody else claims the header."""
        header = MetaDict(header)
        others = (claims for source, claims in GenericMap._registry.items() if source is not cls)
        return _row(header) is not None and not any(claims(data, header, **kwargs) for claims in others)


def to_map(obs: Observation) -> GenericMap:
    """An observation as a `sunpy.map.Map`, with the date that `observations` read and CUNIT where it is missing."""
    header = MetaDict({k: v for k, v in obs.header.items() if k.lower() not in DATES})
    header = _with_units(header) | {"date-obs": obs.date_obs, FILE_CARD: obs.path.name}
    return sunpy.map.Map(obs.data, header)


def _row(header: dict) -> Instrument | None:
    return identify(header, str(header.get(FILE_CARD, "")))


def _with_units(header: MetaDict) -> MetaDict:
    """CUNIT as astropy knows it: arcsec where it is missing or "arcsecs"."""
    units = {key: str(header.get(key) or "arcsec").lower() for key in ("cunit1", "cunit2")}
    return MetaDict({**header, **{key: "arcsec" if unit == "arcsecs" else unit for key, unit in units.items()}})
