package calendar

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"
)

// icsZone is a time zone, and how it is called in the calendar's fixed form.
type icsZone struct {
	location *time.Location
	name     string
}

// zone returns the zone of a TZID: of that IANA name, or of the one that it ends
// in, as some programs write it, or that the file's VTIMEZONE defines, whose names
// are anybody's ("W. Europe Standard Time"). The IANA name comes first because
// definitions in files are often cut down to the rules of today.
func (f *icsFile) zone(id string) (icsZone, error) {
	if z, done := f.made[id]; done {
		return z, nil
	}
	names := []string{id}
	if parts := strings.Split(id, "/"); len(parts) > 2 {
		names = append(names, strings.Join(parts[len(parts)-2:], "/"))
	}
	defined := f.zones[id]
	if defined != nil {
		names = append(names, value(defined, "X-LIC-LOCATION"))
	}
	for _, name := range names {
		if location, err := loadZone(name); err == nil {
			f.made[id] = icsZone{location, name}
			return f.made[id], nil
		}
	}
	if defined == nil {
		return icsZone{}, fmt.Errorf("the time zone %.60q is not known, and the file does not define it; write one like Europe/Berlin", id)
	}
	location, digest, err := defineZone(id, defined)
	if err != nil {
		return icsZone{}, fmt.Errorf("VTIMEZONE %.60q: %w", id, err)
	}
	f.made[id] = icsZone{location, id + "#" + digest}
	return f.made[id], nil
}

// transition is a change of a zone's clocks.
type transition struct {
	at     int64 // Unix seconds
	offset int   // seconds east of UTC, from then on
	saving bool
}

// defineZone makes a zone of a VTIMEZONE, by writing it down as the tables that the
// standard library reads.
//
// Source: RFC 5545, 3.6.5.
func defineZone(id string, c *ics.VTimezone) (*time.Location, string, error) {
	var changes []transition
	base, earliest := 0, wall{}
	for _, part := range c.SubComponents() {
		_, saving := part.(*ics.Daylight)
		if _, standard := part.(*ics.Standard); !standard && !saving {
			continue
		}
		from, err1 := icsOffset(value(part, "TZOFFSETFROM"))
		to, err2 := icsOffset(value(part, "TZOFFSETTO"))
		if err := cmp.Or(err1, err2); err != nil {
			return nil, "", err
		}
		onsets, err := onsetsOf(part)
		if err != nil {
			return nil, "", err
		}
		for _, w := range onsets {
			if earliest.IsZero() || w.Before(earliest) {
				base, earliest = from, w
			}
			changes = append(changes, transition{w.Unix() - int64(from), to, saving})
		}
	}
	if len(changes) == 0 {
		return nil, "", fmt.Errorf("it defines no STANDARD and no DAYLIGHT")
	}
	slices.SortFunc(changes, func(a, b transition) int { return cmp.Compare(a.at, b.at) })
	table := zoneTable(base, changes)
	location, err := time.LoadLocationFromTZData(id, table)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(table)
	return location, hex.EncodeToString(sum[:6]), nil
}

// onsetsOf returns when a part of a VTIMEZONE begins to hold, on the clock that
// holds before, up to lastYear.
func onsetsOf(part ics.Component) ([]wall, error) {
	text := value(part, "DTSTART")
	start, err := time.Parse("20060102T150405", text)
	if err != nil {
		return nil, fmt.Errorf("DTSTART: %.40q is not a local time", text)
	}
	onsets := []wall{start}
	for _, p := range part.UnknownPropertiesIANAProperties() {
		if !strings.EqualFold(p.IANAToken, "RDATE") {
			continue
		}
		for text := range strings.SplitSeq(p.Value, ",") {
			if w, err := time.Parse("20060102T150405", strings.TrimSpace(text)); err == nil {
				onsets = append(onsets, w)
			} else {
				return nil, fmt.Errorf("RDATE: %.40q is not a local time", text)
			}
		}
	}
	rule := strings.ToUpper(value(part, "RRULE"))
	if rule == "" {
		return onsets, nil
	}
	option, err := rrule.StrToROption(rule)
	if err == nil {
		err = bounded(option)
	}
	if err == nil && option.Freq != rrule.YEARLY {
		err = fmt.Errorf("a zone changes by FREQ=YEARLY")
	}
	if err != nil {
		return nil, fmt.Errorf("RRULE: %.80q: %w", rule, err)
	}
	option.Dtstart = start
	explicit(option)
	if end := time.Date(lastYear, 12, 31, 0, 0, 0, 0, time.UTC); option.Until.IsZero() || option.Until.After(end) {
		option.Until = end
	}
	more, err := follow(*option, start, maxZoneChanges)
	return append(onsets, more...), err
}

// maxZoneChanges bounds the changes of a part of a zone: six hundred years.
const maxZoneChanges = 600

// icsOffset reads +0100 or -033000 as seconds east of UTC.
func icsOffset(text string) (int, error) {
	bad := fmt.Errorf("%.20q is no offset such as +0100", text)
	if len(text) != 5 && len(text) != 7 || text[0] != '+' && text[0] != '-' {
		return 0, bad
	}
	n, err := strconv.ParseUint((text[1:] + "00")[:6], 10, 32)
	if err != nil || n >= 24_00_00 {
		return 0, bad
	}
	seconds := int(n/10000*3600 + n/100%100*60 + n%100)
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, nil
}

// zoneTable returns a zone in the format of time zone files, with 64-bit times.
// base is the offset before the first change.
//
// Source: RFC 8536, 3.
func zoneTable(base int, changes []transition) []byte {
	type kind struct {
		offset int
		saving bool
	}
	kinds := []kind{{base, false}}
	var times, indices, types bytes.Buffer
	for _, c := range changes {
		k := slices.Index(kinds, kind{c.offset, c.saving})
		if k < 0 {
			k = len(kinds)
			kinds = append(kinds, kind{c.offset, c.saving})
		}
		_ = binary.Write(&times, binary.BigEndian, c.at) // a buffer takes everything
		indices.WriteByte(byte(min(k, 255)))
	}
	kinds = kinds[:min(len(kinds), 255)]
	for _, k := range kinds {
		_ = binary.Write(&types, binary.BigEndian, int32(k.offset))
		saving := byte(0)
		if k.saving {
			saving = 1
		}
		types.Write([]byte{saving, 0})
	}
	header := func(changes, kinds, letters int) []byte {
		b := append([]byte("TZif2"), make([]byte, 15)...)
		for _, n := range []int{0, 0, 0, changes, kinds, letters} {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
		return b
	}
	const letters = "LOC\x00"
	var out bytes.Buffer
	out.Write(header(0, 1, 1)) // the 32-bit part, which nobody reads, must be there
	out.Write([]byte{0, 0, 0, 0, 0, 0, 0})
	out.Write(header(len(changes), len(kinds), len(letters)))
	out.Write(times.Bytes())
	out.Write(indices.Bytes())
	out.Write(types.Bytes())
	out.WriteString(letters)
	out.WriteString("\n\n") // no rule for the time after the table
	return out.Bytes()
}
