package calendar

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/au"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/br"
	"github.com/rickar/cal/v2/ca"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fi"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/hu"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lu"
	"github.com/rickar/cal/v2/mx"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/nz"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/pt"
	"github.com/rickar/cal/v2/ro"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/sk"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"

	"github.com/forescale/forescale/api"
)

// Holidays asks for the public holidays of a country. A day that is observed on
// another one, because it falls on a weekend, makes two events.
type Holidays struct {
	Country string // ISO 3166-1, two letters
	Region  string // ISO 3166-2 without the country; empty: what holds in all regions
	Zone    string // whose midnights begin and end a day; empty: the country's, where it has one
	Flags   map[string]float64
	Lead    time.Duration
	Tail    time.Duration

	zone *time.Location
	days []*cal.Holiday
}

// country is what the library has of one. The days of a region are all of them,
// the country's included. A country without a zone has several.
type country struct {
	zone    string
	days    []*cal.Holiday
	regions map[string][]*cal.Holiday
}

var countries = map[string]country{
	"AT": {zone: "Europe/Vienna", days: at.Holidays},
	"AU": {regions: map[string][]*cal.Holiday{
		"ACT": au.HolidaysACT, "NSW": au.HolidaysNSW, "NT": au.HolidaysNT, "QLD": au.HolidaysQLD,
		"SA": au.HolidaysSA, "TAS": au.HolidaysTAS, "VIC": au.HolidaysVIC, "WA": au.HolidaysWA}},
	"BE": {zone: "Europe/Brussels", days: be.Holidays},
	"BR": {days: br.Holidays},
	"CA": {days: ca.Holidays},
	"CH": {zone: "Europe/Zurich", days: ch.Holidays, regions: map[string][]*cal.Holiday{
		"AG": ch.HolidaysAG, "AI": ch.HolidaysAI, "AR": ch.HolidaysAR, "BE": ch.HolidaysBE, "BL": ch.HolidaysBL,
		"BS": ch.HolidaysBS, "FR": ch.HolidaysFR, "GE": ch.HolidaysGE, "GL": ch.HolidaysGL, "GR": ch.HolidaysGR,
		"JU": ch.HolidaysJU, "LU": ch.HolidaysLU, "NE": ch.HolidaysNE, "NW": ch.HolidaysNW, "OW": ch.HolidaysOW,
		"SG": ch.HolidaysSG, "SH": ch.HolidaysSH, "SO": ch.HolidaysSO, "SZ": ch.HolidaysSZ, "TG": ch.HolidaysTG,
		"TI": ch.HolidaysTI, "UR": ch.HolidaysUR, "VD": ch.HolidaysVD, "VS": ch.HolidaysVS, "ZG": ch.HolidaysZG,
		"ZH": ch.HolidaysZH}},
	"CZ": {zone: "Europe/Prague", days: cz.Holidays},
	"DE": {zone: "Europe/Berlin", days: de.Holidays, regions: map[string][]*cal.Holiday{
		"BB": de.HolidaysBB, "BE": de.HolidaysBE, "BW": de.HolidaysBW, "BY": de.HolidaysBY, "HB": de.HolidaysHB,
		"HE": de.HolidaysHE, "HH": de.HolidaysHH, "MV": de.HolidaysMV, "NI": de.HolidaysNI, "NW": de.HolidaysNW,
		"RP": de.HolidaysRP, "SH": de.HolidaysSH, "SL": de.HolidaysSL, "SN": de.HolidaysSN, "ST": de.HolidaysST,
		"TH": de.HolidaysTH}},
	"DK": {zone: "Europe/Copenhagen", days: dk.Holidays},
	"ES": {zone: "Europe/Madrid", days: es.Holidays},
	"FI": {zone: "Europe/Helsinki", days: fi.Holidays},
	"FR": {zone: "Europe/Paris", days: fr.Holidays},
	"GB": {zone: "Europe/London", days: gb.Holidays},
	"GR": {zone: "Europe/Athens", days: gr.Holidays},
	"HR": {zone: "Europe/Zagreb", days: hr.Holidays},
	"HU": {zone: "Europe/Budapest", days: hu.Holidays},
	"IE": {zone: "Europe/Dublin", days: ie.Holidays},
	"IT": {zone: "Europe/Rome", days: it.Holidays},
	"JP": {zone: "Asia/Tokyo", days: jp.Holidays},
	"LU": {zone: "Europe/Luxembourg", days: lu.Holidays},
	"MX": {days: mx.Holidays},
	"NL": {zone: "Europe/Amsterdam", days: nl.Holidays},
	"NO": {zone: "Europe/Oslo", days: no.Holidays},
	"NZ": {zone: "Pacific/Auckland", days: nz.Holidays},
	"PL": {zone: "Europe/Warsaw", days: pl.Holidays},
	"PT": {zone: "Europe/Lisbon", days: pt.Holidays},
	"RO": {zone: "Europe/Bucharest", days: ro.Holidays},
	"SE": {zone: "Europe/Stockholm", days: se.Holidays},
	"SI": {zone: "Europe/Ljubljana", days: si.Holidays},
	"SK": {zone: "Europe/Bratislava", days: sk.Holidays},
	"US": {days: us.Holidays},
	"ZA": {zone: "Africa/Johannesburg", days: za.Holidays},
}

// compile finds the days, and returns all faults.
func (h *Holidays) compile() []error {
	faults := checkPlan("holidays", h.Flags, h.Lead, h.Tail)
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	c, known := countries[h.Country]
	if !known {
		bad("country: %.20q is not known; known are %s", h.Country, strings.Join(slices.Sorted(maps.Keys(countries)), ", "))
		return faults
	}
	regions := strings.Join(slices.Sorted(maps.Keys(c.regions)), ", ")
	switch days, found := c.regions[h.Region]; {
	case found:
		h.days = days
	case h.Region == "" && c.days != nil:
		h.days = c.days
	case h.Region == "":
		bad("region: %s needs one; known are %s", h.Country, regions)
	case len(c.regions) == 0:
		bad("region: the regions of %s are not known; leave it out", h.Country)
	default:
		bad("region: %.20q is not known in %s; known are %s", h.Region, h.Country, regions)
	}
	switch {
	case h.Zone == "" && c.zone == "":
		bad("zone: %s has several time zones; write the one that is meant", h.Country)
	default:
		name := h.Zone
		if name == "" {
			name = c.zone
		}
		var err error
		if h.zone, err = loadZone(name); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// between returns the holidays that set a flag in [from, to), in the years from
// firstYear to lastYear.
func (h *Holidays) between(from, to time.Time) []Event {
	var out []Event
	// Observances may lie in the year before or after that of the holiday itself.
	first := max(from.Add(-h.Tail).UTC().Year()-1, firstYear)
	last := min(to.Add(h.Lead).UTC().Year()+1, lastYear)
	for year := first; year <= last; year++ {
		for _, day := range h.days {
			actual, observed := day.Calc(year)
			if actual.IsZero() {
				continue
			}
			out = h.add(out, day.Name, actual, from, to)
			if !observed.Equal(actual) {
				out = h.add(out, day.Name+" (observed)", observed, from, to)
			}
		}
	}
	return out
}

// add appends the holiday on a date, whatever its clock and zone, if it sets a
// flag in [from, to).
func (h *Holidays) add(to []Event, name string, date, from, until time.Time) []Event {
	y, m, d := date.Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	e := Event{Lead: h.Lead, Tail: h.Tail, Event: api.Event{Name: name, Flags: h.Flags,
		Start: instant(start, h.zone), End: instant(start.AddDate(0, 0, 1), h.zone)}}
	if begins, ends := e.felt(); !begins.Before(until) || !ends.After(from) {
		return to
	}
	return append(to, e)
}
