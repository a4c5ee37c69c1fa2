package session

import (
	"testing"
	"time"
)

func TestASessionEndsByTimeByIdlenessAndByLogout(t *testing.T) {
	for name, c := range map[string]struct {
		after []time.Duration // uses, one after the other
		close bool
		want  bool // the last one finds it
	}{
		"at once":                       {[]time.Duration{0}, false, true},
		"before an hour is over":        {[]time.Duration{Idle - 1}, false, true},
		"after an hour without a use":   {[]time.Duration{Idle}, false, false},
		"used in time, again and again": {[]time.Duration{Idle - 1, Idle - 1, Idle - 1}, false, true},
		"after twelve hours, though used": {[]time.Duration{50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute,
			50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute, 20 * time.Minute}, false, false},
		"closed": {[]time.Duration{0}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
			s := New(func() time.Time { return now })
			id, opened := s.Open("ops")
			if c.close {
				s.Close(id)
			}
			found := false
			for _, d := range c.after {
				now = now.Add(d)
				var got Session
				if got, found = s.Get(id); found && got != opened {
					t.Errorf("another session: %+v", got)
				}
			}
			if found != c.want {
				t.Errorf("found is %v", found)
			}
			if !c.want && s.Len() != 0 {
				t.Error("it is remembered")
			}
		})
	}
}

func TestIdsAndTokensAreSecretsOfTheirOwn(t *testing.T) {
	s := New(time.Now)
	id, one := s.Open("ops")
	other, two := s.Open("ops")
	if id == other || one.CSRF == two.CSRF || id == one.CSRF || len(id) != 43 || len(one.CSRF) != 43 {
		t.Error("they are not random")
	}
	for _, wrong := range []string{"", "x", id[:42], id + "x", one.CSRF, string(make([]byte, 1<<20))} {
		if _, found := s.Get(wrong); found {
			t.Errorf("%.50q is a session", wrong)
		}
		s.Close(wrong)
	}
	if !one.Proves(one.CSRF) || one.Proves(two.CSRF) || one.Proves("") || (Session{}).Proves("x") {
		t.Error("the token proves the wrong thing")
	}
	if s.Len() != 2 {
		t.Errorf("%d sessions", s.Len())
	}
}

func TestThereAreNeverMoreThanTheBound(t *testing.T) {
	s := New(time.Now)
	first, _ := s.Open("first")
	second, _ := s.Open("second")
	for range Most - 2 {
		s.Open("more")
	}
	if _, found := s.Get(first); !found { // and is now the one used last
		t.Fatal("the bound is too low")
	}
	s.Open("one too many")
	if _, found := s.Get(second); found || s.Len() != Most {
		t.Errorf("%d sessions", s.Len())
	}
	if _, found := s.Get(first); !found {
		t.Error("the one that was used last had to go")
	}
}
