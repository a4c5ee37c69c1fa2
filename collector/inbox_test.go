package collector

import (
	"fmt"
	"testing"
	"time"
)

// A sensor that could not send for most of a day loses nothing by it, whether the
// collector has run all the while or is started anew in the middle.
func TestADayOfReadingsThatComesLateIsStored(t *testing.T) {
	const away = 270 // slots: 22.5 hours
	for name, restart := range map[string]bool{"the collector has run all the while": false, "the collector was started anew": true} {
		t.Run(name, func(t *testing.T) {
			f := newFloor(t)
			f.kill()
			f.cfg = DefaultConfig()
			f.start()
			f.mustSend(temp("near", 0, 0, 1), temp("near", 0, 60, 3)) // of a sensor that is not away
			f.mustTick(1)
			if restart {
				f.kill()
				f.clock = at(away)
				f.start()
			}
			f.clock = at(away)
			want := rows(0, 3, 3, 1, 5, 5)
			for i := range away {
				f.mustSend(temp("far", i, 30, 5))
				if i > 0 {
					want = append(want, rows(i, 1, 5, 5, 5, 5)...)
				}
			}
			for i := range 3 {
				f.mustTick(away + i)
			}
			f.expect(want...)
			if n := f.irregular(dropTooLate); n > 0 {
				t.Errorf("%d readings were too late", n)
			}
		})
	}
}

func TestOldSlotsMakeRoomForNewOnes(t *testing.T) {
	limits := DefaultConfig().Stream
	limits.MaxReadings = 400 // a quarter: 100
	for name, c := range map[string]struct {
		each, slots int
		unstored    int // slot whose readings are not stored yet; -1: none
		left        int // slots
	}{
		"what fits stays":                            {2, 50, -1, 50},
		"the oldest go":                              {4, 50, -1, 25},
		"none of the last hour goes":                 {20, 20, -1, 12},
		"what is not stored stays, and all after it": {4, 50, 10, 40},
	} {
		t.Run(name, func(t *testing.T) {
			b := newInbox(limits, step, at(0))
			for i := range c.slots {
				for k := range c.each {
					b.add(temp(fmt.Sprint("s", k), i, 0, 1))
				}
			}
			for _, d := range b.due(at(c.slots)) {
				if d.key.slot != at(c.unstored).Unix() {
					b.settle([]dueCell{d})
				}
			}
			oldest, ok := b.prune(at(c.slots))
			if want := at(c.slots - c.left); !ok || !oldest.Equal(want) || b.size() != c.left*c.each {
				t.Fatalf("%d readings from %s on are left, want %d from %s", b.size(), oldest, c.left*c.each, want)
			}
			if c.left < c.slots {
				if why := b.refuse(temp("b", c.slots-c.left-1, 0, 1), at(c.slots)); why != dropTooLate {
					t.Errorf("a reading for a slot that is gone: %q", why)
				}
			}
			if why := b.refuse(temp("b", c.slots-c.left, 0, 1), at(c.slots)); why != "" {
				t.Errorf("a reading for a slot that is there: %q", why)
			}
		})
	}
}

func TestComparingWithTheLakeTakesSlotAfterSlot(t *testing.T) {
	var cells []dueCell
	for i := range 5 {
		for g := range maxCompared / 2 {
			cells = append(cells, dueCell{key: cellKey{fmt.Sprint("g", g), "temperature", at(i).Unix()}})
		}
	}
	got, q := compared(cells, step)
	if len(got) != maxCompared || !q.From.Equal(at(3)) || !q.To.Equal(at(5)) || len(q.Groups) != maxCompared/2 || len(q.Metrics) != 1 {
		t.Errorf("%d cells, %s to %s, %d groups", len(got), q.From, q.To, len(q.Groups))
	}
	one, q := compared(cells[:1], step)
	if len(one) != 1 || q.To.Sub(q.From) != step {
		t.Errorf("%d cells, %s", len(one), q.To.Sub(q.From))
	}
}

// Of a device gone wild, what is too much is refused; others are heard.
func TestOneSensorDoesNotSilenceTheOthers(t *testing.T) {
	limits := DefaultConfig().Stream
	limits.MaxReadings = 20_000
	b := newInbox(limits, step, at(0))
	refused := 0
	for i := range 5000 {
		if r := reading("hall", "wild", "temperature", at(0).Add(time.Duration(i)*time.Millisecond), 1); b.refuse(r, at(3)) == "" {
			b.add(r)
		} else if why := b.refuse(r, at(3)); why != dropReadings {
			t.Fatalf("refused as %q", why)
		} else {
			refused++
		}
	}
	if b.size() != 2000 || refused != 3000 {
		t.Errorf("%d readings of the wild sensor were taken", b.size())
	}
	if why := b.refuse(temp("calm", 0, 0, 1), at(3)); why != "" {
		t.Errorf("another sensor is refused: %q", why)
	}
	for _, d := range b.due(at(3)) {
		b.settle([]dueCell{d})
	}
	b.prune(at(600))
	if why := b.refuse(temp("wild", 600, 0, 1), at(601)); why != "" || b.size() != 0 || len(b.groups) != 0 {
		t.Errorf("when its readings are gone it is heard again: %q, %d, %v", why, b.size(), b.groups)
	}
}
